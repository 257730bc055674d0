"""Thirty of torchvision's models, pruned far, shrink to networks with the same outputs."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

from torch_synflow import diagnostics, prune

models = pytest.importorskip("torchvision.models")

SIDE = 64
#: that do not run on images of 64, in training at least
SIDES = {"inception_v3": 299}
NAMES = (
    "alexnet", "convnext_tiny", "densenet121", "densenet169", "efficientnet_b0", "efficientnet_b1", "efficientnet_v2_s",
    "googlenet", "inception_v3", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large",
    "mobilenet_v3_small", "regnet_x_400mf", "regnet_x_800mf", "regnet_y_400mf", "regnet_y_800mf", "resnet18",
    "resnet34", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "squeezenet1_0",
    "squeezenet1_1", "swin_t", "swin_v2_t", "vit_b_32",
)  # fmt: skip
METHODS = {"balanced": prune.BalancedSynFlow, "synflow": prune.SynFlow}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torchvision's own code, and of layers that are emptied
@pytest.mark.parametrize("amount", [0.95, 0.99])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_the_same_in_evaluation_and_in_training(name: str, method: str, amount: float) -> None:
    torch.manual_seed(0)
    model = models.get_model(name, **({"image_size": SIDE} if name.startswith("vit") else {}))
    for parameter in model.parameters():
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)  # a head of zeros leaves no path
    x = torch.randn(2, 3, *[SIDES.get(name, SIDE)] * 2)
    with warnings.catch_warnings():
        prune.global_iterative_unstructured(model, METHODS[method], amount, example_inputs=x[:1], iterations=20)
    try:
        small = prune.shrink(model, x)
    except ValueError as error:
        if "layer collapse" not in str(error):
            raise
        assert not diagnostics.trainability(model, x).can_train
        pytest.skip(f"{method} at {amount} leaves no path")
    print(f"{name} {method} {amount}: {str(small.shrink_report).splitlines()[0]}")
    assert small.shrink_report.notes == ()
    assert small.shrink_report.parameters_kept < small.shrink_report.parameters
    model = copy.deepcopy(model)
    for one in (model, small):
        prune.remove_all(one)  # Swin reads weights of layers that it does not call, whose products no hook converts
        one.double().eval()
    found, expected = small(x.double()), model(x.double())
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()
