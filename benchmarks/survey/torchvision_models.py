"""torchvision's models: the smallest of each family of classifiers, and all for segmentation, detection and video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from benchmarks.survey.network import SurveyedNetwork, images

_CLASSIFIERS = (
    "alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t "
    "mnasnet0_5 mobilenet_v2 mobilenet_v3_small regnet_y_400mf resnet18 resnext50_32x4d shufflenet_v2_x0_5 "
    "squeezenet1_1 swin_t swin_v2_t vgg11_bn vit_b_32 wide_resnet50_2 "
)


def video(frames: int, size: int) -> Callable[[int], Tensor]:
    """Random videos."""
    return lambda count: torch.rand(count, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def list_of_images(count: int) -> Any:
    """Images as detectors take them."""
    return (list(images(96)(count)),)


def subjects() -> Iterator[SurveyedNetwork]:
    """Networks of all four kinds."""
    models = torchvision.models
    kinds = [
        ("classification", _CLASSIFIERS.split()),
        ("segmentation", models.list_models(module=models.segmentation)),
        ("detection", models.list_models(module=models.detection)),
        ("video", models.list_models(module=models.video)),
    ]
    for kind, names in kinds:
        for name in names:

            def build(name: str = name, kind: str = kind) -> nn.Module:
                more = {"weights_backbone": None} if kind in ("segmentation", "detection") else {}
                model: nn.Module = models.get_model(name, weights=None, **more)
                return model

            size = {"inception_v3": 299, "maxvit_t": 224, "vit_b_32": 224}.get(name, 128)
            inputs: Callable[[int], Any] = images(size)
            if kind == "detection":
                inputs = list_of_images
            elif kind == "video":
                inputs = video(16, 224) if name.startswith(("mvit", "swin3d")) else video(8, 112)
            yield SurveyedNetwork("torchvision", kind, name, build, inputs)
