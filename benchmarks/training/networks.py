"""The papers' networks, and their initialisations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from torch_synflow import prune
from torch_synflow.model.parameters import PrunableParameters

# Channels of each convolution, "M" a 2x2 max pooling: Simonyan and Zisserman 2015, table 1, for 32x32 images
# with one linear layer (Frankle et al. 2021, appendix A.1).
_VGG = {
    11: (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512),
    16: (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512),
    19: (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512),
}


def vgg(
    plan: int | Sequence[int | str] = 16, classes: int = 10, channels: int = 3, *, normalised: bool = True
) -> nn.Sequential:
    """A conv-BatchNorm-ReLU VGG with one linear layer; ``plan`` is a depth (11, 16, 19) or the channels.

    Without normalisation, convolutions have biases instead.
    """
    layers: list[nn.Module] = []
    width = channels
    for step in _VGG[plan] if isinstance(plan, int) else plan:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(2))
        else:
            norm = [nn.BatchNorm2d(step)] if normalised else []
            layers += [nn.Conv2d(width, step, 3, padding=1, bias=not normalised), *norm, nn.ReLU()]
            width = step
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def vgg_with_head(depth: int, classes: int, size: int) -> nn.Sequential:
    """A VGG with five poolings and three linear layers, for 64x64 or 224x224 images.

    The head is 1,024 wide for 64x64 (the SynFlow authors' network for Tiny ImageNet) and 4,096 wide for 224x224
    (Simonyan and Zisserman 2015).
    """
    features = [*vgg((*_VGG[depth], "M"))][:-3]  # without the pooling over all of the image, flattening and head
    side, width = (size // 32, 1024) if size < 224 else (7, 4096)
    head = [
        nn.Linear(512 * side**2, width), nn.ReLU(), nn.Dropout(),
        nn.Linear(width, width), nn.ReLU(), nn.Dropout(),
        nn.Linear(width, classes),
    ]  # fmt: skip
    return nn.Sequential(*features, nn.AdaptiveAvgPool2d(side), nn.Flatten(), *head)


def vgg_with_two_linear(depth: int, classes: int, channels: int) -> nn.Sequential:
    """The same with one more linear layer, of 512 units with ReLU (VGG2-16, Frankle et al. 2021, table 1)."""
    *features, _ = vgg(depth, classes, channels)
    return nn.Sequential(*features, nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, classes))


def lenet_300_100(classes: int = 10, channels: int = 1, size: int = 28) -> nn.Sequential:
    """The fully connected network with hidden layers of 300 and 100 (Frankle et al. 2021, appendix A.1)."""
    layers = [nn.Linear(channels * size**2, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, classes)]
    return nn.Sequential(nn.Flatten(), *layers)


class _Block(nn.Module):
    """Two 3x3 convolutions with a parallel shortcut, which is a 1x1 convolution if the shape changes."""

    def __init__(self, width_in: int, width: int, stride: int, inner: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width * inner, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width * inner)
        self.conv2 = nn.Conv2d(width * inner, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or width_in != width:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


def resnet(
    depth: int = 20, classes: int = 10, channels: int = 3, widths: Sequence[int] = (16, 32, 64), inner: int = 1
) -> nn.Sequential:
    """The residual network for 32x32 images (He et al. 2016, section 4.2), ``depth`` = 6n + 2 for three widths.

    With the widths 64 to 512 and depth 18 it is the ResNet-18 with a 3x3 first convolution and no max pooling
    (Frankle et al. 2021, appendix A.1); ``inner=2`` doubles the channels inside each block (WideResNet-18).
    """
    blocks = (depth - 2) // (2 * len(widths))
    if depth != 2 * len(widths) * blocks + 2 or blocks < 1:
        raise ValueError(f"depth: expected 2 * {len(widths)} * n + 2 with n >= 1, got {depth}")
    layers: list[nn.Module] = [
        nn.Conv2d(channels, widths[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    width_in = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            layers.append(_Block(width_in, width, 2 if stage and not block else 1, inner))
            width_in = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width_in, classes))


def torchvision_model(name: str, classes: int = 1000, **built: int) -> nn.Module:
    """A model of torchvision, untrained; ``built`` are further arguments of its builder."""
    from torchvision import models

    model: nn.Module = models.get_model(name, num_classes=classes, **built)
    return model


def small_vit(classes: int = 10, size: int = 32) -> nn.Module:
    """Torchvision's vision transformer for small images: patches of 4, 6 layers of 4 heads, 128 wide."""
    from torchvision.models import VisionTransformer

    model: nn.Module = VisionTransformer(
        image_size=size, patch_size=4, num_layers=6, num_heads=4, hidden_dim=128, mlp_dim=256, num_classes=classes
    )
    nn.init.normal_(model.get_parameter("heads.head.weight"), std=0.02)  # torchvision's zeros leave no path
    return model


def small_convnext(classes: int = 10) -> nn.Module:
    """Torchvision's ConvNeXt, three stages of 2, 4 and 2 blocks, 32, 64 and 128 wide."""
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    model: nn.Module = ConvNeXt(
        [CNBlockConfig(32, 64, 2), CNBlockConfig(64, 128, 4), CNBlockConfig(128, None, 2)], num_classes=classes
    )
    return model


def mobilenet_v2(classes: int = 10) -> nn.Module:
    """Torchvision's MobileNetV2 at half the width, whose strides are those for 32x32 images.

    Of torchvision's five halvings the first three are left: the first convolution, and two stages (Sandler et al.
    2018, table 2, has strides 2 in rows 3, 4, 5 and 7).
    """
    from torchvision.models import MobileNetV2

    stages = [(1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 1), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    model: nn.Module = MobileNetV2(classes, width_mult=0.5, inverted_residual_setting=[list(s) for s in stages])
    return model


def _vgg_for(depth: int, classes: int, channels: int, size: int) -> nn.Module:
    return vgg(depth, classes, channels) if size < 64 else vgg_with_head(depth, classes, size)


def _resnet_for(depth: int, classes: int, channels: int, size: int, widths: Sequence[int] = (16, 32, 64)) -> nn.Module:
    return resnet(depth, classes, channels, widths)


_WIDE = (64, 128, 256, 512)
#: wide residual networks by the names of Frankle et al. 2021, tables 1 and 4: layers without shortcuts, times the width
_WIDER = {f"wrn_{depth}_{width}": (depth, width) for depth, width in ((14, 8), (14, 10), (20, 8), (32, 2))}
_Builder = Callable[[int, int, int], nn.Module]
#: name: the function that builds it from the number of classes, channels and the side of the images.
NETWORKS: dict[str, _Builder] = {
    "lenet_300_100": lenet_300_100,
    **{f"vgg{depth}_bn": partial(_vgg_for, depth) for depth in _VGG},
    "vgg19": lambda classes, channels, size: vgg(19, classes, channels, normalised=False),
    **{f"resnet{depth}": partial(_resnet_for, depth) for depth in (20, 32, 44, 56, 110)},
    **{
        name: partial(_resnet_for, depth, widths=(16 * width, 32 * width, 64 * width))
        for name, (depth, width) in _WIDER.items()
    },
    "vgg2_16_bn": lambda classes, channels, size: vgg_with_two_linear(16, classes, channels),
    "resnet18": lambda classes, channels, size: resnet(18, classes, channels, _WIDE),
    "resnet18_width16": lambda classes, channels, size: resnet(18, classes, channels, (16, 32, 64, 128)),
    "wide_resnet18": lambda classes, channels, size: resnet(18, classes, channels, _WIDE, inner=2),
    "torchvision_resnet18": lambda classes, channels, size: torchvision_model("resnet18", classes),
    "torchvision_resnet34": lambda classes, channels, size: torchvision_model("resnet34", classes),
    "torchvision_resnet50": lambda classes, channels, size: torchvision_model("resnet50", classes),
    "small_vit": lambda classes, channels, size: small_vit(classes, size),
    "small_vit_attention": lambda classes, channels, size: small_vit(classes, size),
    "small_convnext": lambda classes, channels, size: small_convnext(classes),
    "mobilenet_v2": lambda classes, channels, size: mobilenet_v2(classes),
    # for 8x8 images and quick runs, as in the demo
    "vgg_small": lambda classes, channels, size: vgg((16, "M", 32, 32, "M", 64, 64), classes, channels),
    "resnet_small": lambda classes, channels, size: resnet(6, classes, channels, (16, 64)),
}

FULLY_CONNECTED = ("lenet_300_100",)  # without convolutions to lay out in memory
WITHOUT_BATCHNORM = (*FULLY_CONNECTED, "vgg19", "small_vit", "small_vit_attention", "small_convnext")
#: networks in which the projections to queries, keys and values stay as they are
_WITHOUT_ATTENTION = ("small_vit",)


def pruned_parameters(name: str, model: nn.Module) -> PrunableParameters:
    """The ``(module, name)`` pairs that are pruned in the network of this name."""
    with warnings.catch_warnings():  # which says what is left out
        warnings.filterwarnings("ignore", "prunable_parameters: lists")
        return prune.prunable_parameters(model, exclude=nn.MultiheadAttention if name in _WITHOUT_ATTENTION else ())
