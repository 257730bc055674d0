"""torchvision's detectors, with small backbones: the outputs of their heads count, as boxes are chosen."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torch_synflow import diagnostics, prune

pytest.importorskip("torchvision")
from torchvision.models.detection import FCOS, FasterRCNN, KeypointRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

SIZE = {"min_size": 64, "max_size": 64}
IMAGES = ([torch.rand(3, 64, 64)],)
RPN, BOXES = "rpn.head", "roi_heads.box_predictor"


def backbone() -> nn.Module:
    torch.manual_seed(0)
    layers: Any = nn.Sequential(
        nn.Conv2d(3, 8, 3, 4, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 32, 3, 4, 1, bias=False)
    )
    layers.out_channels = 32
    return layers  # type: ignore[no-any-return]


def of_two_stages(kind: Any, **more: Any) -> nn.Module:
    anchors = AnchorGenerator(((16, 32),), ((1.0,),))
    pool = MultiScaleRoIAlign(["0"], 7, 2)
    pools = {name: MultiScaleRoIAlign(["0"], 7, 2) for name in POOLS.get(kind, ())}
    return kind(  # type: ignore[no-any-return]
        backbone(), rpn_anchor_generator=anchors, box_roi_pool=pool, **{"num_classes": 3, **SIZE, **pools, **more}
    )


POOLS: Any = {MaskRCNN: ("mask_roi_pool",), KeypointRCNN: ("keypoint_roi_pool",)}


def of_one_stage(kind: Any) -> nn.Module:
    anchors = AnchorGenerator(((16,),), ((1.0,),))
    return kind(backbone(), 3, anchor_generator=anchors, **SIZE)  # type: ignore[no-any-return]


def targets() -> list[dict[str, Tensor]]:
    return [{"boxes": torch.tensor([[10.0, 10.0, 40.0, 40.0]]), "labels": torch.ones(1, dtype=torch.int64)}]


def sum_of_losses(losses: Any, batch: Any) -> Tensor:
    return torch.stack(list(losses.values())).sum()


DETECTORS = [
    pytest.param(lambda: of_one_stage(RetinaNet), "head", id="RetinaNet"),
    pytest.param(lambda: of_one_stage(FCOS), "head", id="FCOS"),
    pytest.param(lambda: of_two_stages(FasterRCNN), [RPN, BOXES], id="FasterRCNN"),
    pytest.param(
        lambda: of_two_stages(MaskRCNN, box_score_thresh=0.0, box_detections_per_img=2),
        [RPN, BOXES, "roi_heads.mask_predictor"],
        id="MaskRCNN",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        lambda: of_two_stages(KeypointRCNN, num_classes=2, box_detections_per_img=2),
        [RPN, BOXES, "roi_heads.keypoint_predictor"],
        id="KeypointRCNN",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("build", "outputs"), DETECTORS)
def test_detectors_are_scored_by_the_outputs_of_their_heads(build: Any, outputs: Any) -> None:
    model = build().eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    # flow starts at the image alone, and the first layer is a cut of it
    scores = prune.SynFlow.scores(model, example_inputs=IMAGES, outputs=outputs)
    first, second, *_ = [float(score.sum()) for score in scores.values()]
    assert min(float(score.sum()) for score in scores.values()) > 0
    assert first == pytest.approx(second, rel=1e-9)
    report = prune.global_iterative_unstructured(
        model, prune.BalancedSynFlow, 0.5, example_inputs=IMAGES, outputs=outputs, iterations=5
    )
    assert report.empty_layers == ()
    assert diagnostics.trainability(model, IMAGES, outputs=outputs).can_train
    assert not any(module._forward_hooks for module in model.modules())


def test_boxes_that_are_chosen_are_no_outputs_to_follow_flow_to() -> None:
    model = of_one_stage(RetinaNet).eval()
    with pytest.raises(ValueError, match=r"model: expected outputs .* boxes .*outputs=\"head\""):
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=IMAGES)
    assert not hasattr(model.backbone[0], "weight_mask")


def test_detectors_are_scored_by_their_losses() -> None:
    batch = {"images": IMAGES[0], "targets": targets()}
    model = of_one_stage(RetinaNet)
    for method in (prune.SNIP, prune.GraSP):
        scores = method.scores(model, data=batch, loss_fn=sum_of_losses)
        assert all(bool(score.isfinite().all()) and bool(score.any()) for score in scores.values())


def test_an_operation_without_a_second_derivative_is_named() -> None:
    batch = {"images": IMAGES[0], "targets": targets()}
    with pytest.raises(ValueError, match=r"second derivative, .* got one with the operation 'roi_align'"):
        prune.GraSP.scores(of_two_stages(FasterRCNN), data=batch, loss_fn=sum_of_losses)
