"""The papers' networks for small images, and their initialisations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Channels of each convolution, "M" a 2x2 max pooling: Simonyan and Zisserman 2015, table 1, for 32x32 images
# with one linear layer (Frankle et al. 2021, appendix A.1).
_VGG = {
    11: (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512),
    16: (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512),
    19: (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512),
}


def vgg(plan: int | Sequence[int | str] = 16, classes: int = 10, channels: int = 3) -> nn.Sequential:
    """A conv-BatchNorm-ReLU VGG with one linear layer; ``plan`` is a depth (11, 16, 19) or the channels."""
    layers: list[nn.Module] = []
    width = channels
    for step in _VGG[plan] if isinstance(plan, int) else plan:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(width, step, 3, padding=1, bias=False), nn.BatchNorm2d(step), nn.ReLU()]
            width = step
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or width_in != width:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


def resnet(
    depth: int = 20, classes: int = 10, channels: int = 3, widths: Sequence[int] = (16, 32, 64)
) -> nn.Sequential:
    """The residual network for 32x32 images (He et al. 2016, section 4.2), ``depth`` = 6n + 2 for three widths."""
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
            layers.append(_Block(width_in, width, 2 if stage and not block else 1))
            width_in = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width_in, classes))


def initialise(model: nn.Module, *, mode: str = "fan_in", uniform_gamma: bool = False) -> nn.Module:
    """Kaiming-normal weights, zero biases, BatchNorm's gamma one or uniform in (0, 1); returns ``model``.

    Frankle et al. 2021 use fan-in and uniform gammas, Tanaka et al. 2020 fan-out and ones (Frankle et al.,
    appendix D.4).
    """
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            if uniform_gamma:
                nn.init.uniform_(module.weight)
            else:
                nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    return model
