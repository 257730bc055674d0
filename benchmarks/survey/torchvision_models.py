"""torchvision's models: the smallest of each family of classifiers, and all for segmentation, detection and video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.video import mvit

from benchmarks.survey.network import SurveyedNetwork, images

_CLASSIFIERS = (
    "alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t "
    "mnasnet0_5 mobilenet_v2 mobilenet_v3_small regnet_y_400mf resnet18 resnext50_32x4d shufflenet_v2_x0_5 "
    "squeezenet1_1 swin_t swin_v2_t vgg11_bn vit_b_32 wide_resnet50_2 "
)
_SIZE = 64  # of images for segmentation, detection (whose models are not to enlarge them) and video
_BOXES = 16  # of an image
#: the submodules of detectors whose outputs count, as boxes are chosen; by what their names begin with
_HEADS: dict[str, str | list[str]] = {
    "fasterrcnn": ["rpn.head", "roi_heads.box_predictor"],
    "maskrcnn": ["rpn.head", "roi_heads.box_predictor", "roi_heads.mask_predictor"],
    "keypointrcnn": ["rpn.head", "roi_heads.box_predictor", "roi_heads.keypoint_predictor"],
    "retinanet": "head",
    "fcos": "head",
    "ssd": "head",
}


def video(frames: int, size: int) -> Callable[[int], Tensor]:
    """Random videos."""
    return lambda count: torch.rand(count, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def small_mvit(name: str) -> nn.Module:
    """MViT for small videos; torchvision's functions fix 224 pixels, for which a row needs far more memory."""

    def build(**settings: Any) -> nn.Module:
        return whole(**{**settings, "spatial_size": (_SIZE, _SIZE)})

    whole: Callable[..., nn.Module] = mvit._mvit
    with patch.object(mvit, "_mvit", build):
        model: nn.Module = torchvision.models.get_model(name, weights=None)
        return model


def list_of_images(count: int) -> Any:
    """Images as detectors take them."""
    return (list(images(_SIZE)(count)),)


def images_with_boxes() -> dict[str, Any]:
    """A batch that detectors give their losses for: two images, each with one box, its mask and its keypoints."""
    box = torch.tensor([[10.0, 15.0, 45.0, 50.0]])
    target = {
        "boxes": box,
        "labels": torch.ones(1, dtype=torch.int64),
        "masks": torch.ones(1, _SIZE, _SIZE, dtype=torch.uint8),
        "keypoints": torch.tensor([25.0, 30.0, 1.0]).expand(1, 17, 3).clone(),
    }
    return {"images": list_of_images(2)[0], "targets": [target, {**target, "boxes": box + 5}]}


def sum_of_losses(losses: dict[str, Tensor], batch: Any) -> Tensor:
    """What detectors are trained by."""
    return torch.stack(list(losses.values())).sum()


def detector(name: str) -> SurveyedNetwork:
    """A detector at images of the survey's size."""
    (heads,) = (heads for first, heads in _HEADS.items() if name.startswith(first))
    sizes = {} if name.startswith("ssd") else {"min_size": _SIZE, "max_size": _SIZE}
    if "rcnn" in name:  # which runs its second stage on a thousand boxes
        sizes |= {"rpn_post_nms_top_n_test": _BOXES, "rpn_post_nms_top_n_train": _BOXES}
        sizes |= {"box_detections_per_img": _BOXES}
    # so that masks are made of boxes whose classes are all as likely, which is what flow is followed through
    more = {**sizes, "box_score_thresh": 0.0} if name.startswith("maskrcnn") else sizes

    def build() -> nn.Module:
        model: nn.Module = torchvision.models.get_model(name, weights=None, weights_backbone=None, **more)
        return model

    return SurveyedNetwork(
        "torchvision", "detection", name, build, list_of_images, heads, images_with_boxes, sum_of_losses
    )


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
            if kind == "detection":
                yield detector(name)
                continue

            def build(name: str = name, kind: str = kind) -> nn.Module:
                if name.startswith("mvit"):
                    return small_mvit(name)
                more = {"weights_backbone": None} if kind == "segmentation" else {}
                model: nn.Module = models.get_model(name, weights=None, **more)
                return model

            size = {"inception_v3": 299, "maxvit_t": 224, "vit_b_32": 224}.get(name, 128)
            inputs: Callable[[int], Any] = images(size if kind == "classification" else _SIZE)
            if kind == "video":
                frames = 16 if name.startswith(("mvit", "s3d")) else 8
                inputs = video(frames, 224 if name == "s3d" else _SIZE)
            yield SurveyedNetwork("torchvision", kind, name, build, inputs)
