"""BalancedSynFlow: no branch is emptied where SynFlow empties some, and the same masks where nothing is summed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import resnet, vgg
from torch_synflow import prune

IMAGE = torch.ones(1, 3, 32, 32)


def chains() -> list[Any]:
    return [
        pytest.param(lambda: initialise(vgg((8, "M", 16, "M", 16))), IMAGE, id="vgg"),
        pytest.param(lambda: nn.Sequential(nn.Linear(9, 40), nn.GELU(), nn.LayerNorm(40), nn.Linear(40, 5)),
                     torch.ones(1, 9), id="mlp"),
        pytest.param(lambda: nn.Sequential(nn.Conv1d(2, 9, 3), nn.PReLU(), nn.Flatten(), nn.Linear(54, 5)),
                     torch.ones(1, 2, 8), id="conv1d"),
    ]  # fmt: skip


@pytest.mark.parametrize(("build", "x"), chains())
@pytest.mark.parametrize("amount", [0.3, 0.9])
def test_without_branches_masks_are_those_of_synflow_bit_for_bit(build: Any, x: torch.Tensor, amount: float) -> None:
    torch.manual_seed(0)
    model = build()
    other = copy.deepcopy(model)
    prune.global_iterative_unstructured(model, prune.SynFlow, amount, example_inputs=x, iterations=20)
    prune.global_iterative_unstructured(other, prune.BalancedSynFlow, amount, example_inputs=x, iterations=20)
    scores = prune.BalancedSynFlow.scores(model, example_inputs=x)
    for one, expected in zip(scores.values(), prune.synflow_scores(model, x).values(), strict=True):
        assert torch.equal(one, expected)
    for one, expected in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, expected)


def wide_resnet() -> nn.Module:
    """Its shortcuts have weights from the second stage on."""
    torch.manual_seed(0)
    return initialise(resnet(8, widths=(16, 64, 256)), mode="fan_out")


@pytest.mark.parametrize("amount", [0.9, 0.98, 0.995])
def test_shortcuts_and_branches_are_kept_where_synflow_empties_them(amount: float) -> None:
    report = prune.global_iterative_unstructured(
        wide_resnet(), prune.BalancedSynFlow, amount, example_inputs=IMAGE, iterations=50
    )
    assert report.empty_layers == ()


class Block(nn.Module):
    """A wide branch with layer scale beside a shortcut, as in a ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 512), nn.GELU(), nn.Linear(512, 16))
        self.scale = nn.Parameter(torch.full((16,), 1e-6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.scale * self.branch(x)


def test_branches_with_layer_scale_are_kept_where_synflow_empties_them() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 16), *[Block() for _ in range(8)], nn.Linear(16, 100))
    other, x = copy.deepcopy(model), torch.ones(1, 256)
    report = prune.global_iterative_unstructured(model, prune.BalancedSynFlow, 0.97, example_inputs=x)
    assert report.empty_layers == ()
    assert prune.global_iterative_unstructured(other, prune.SynFlow, 0.97, example_inputs=x).empty_layers


class Inception(nn.Module):
    """A short and a deep branch, which the next layers read side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.short = nn.Linear(width, 64)
        self.deep = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.cat([self.short(x), self.deep(x)], 1))


def test_parts_of_concatenations_are_kept_where_synflow_empties_them() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Inception(32), Inception(128), Inception(128), nn.Linear(128, 10))
    other, x = copy.deepcopy(model), torch.ones(1, 32)
    report = prune.global_iterative_unstructured(model, prune.BalancedSynFlow, 0.97, example_inputs=x)
    assert report.empty_layers == ()
    assert prune.global_iterative_unstructured(other, prune.SynFlow, 0.97, example_inputs=x).empty_layers


#: GoogLeNet's auxiliary heads do not run in evaluation mode
BUILT = {"googlenet": {"aux_logits": False, "init_weights": False}}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet50", "vit_b_32", "convnext_tiny", "swin_t", "efficientnet_b0", "mobilenet_v2", "densenet121",
     "regnet_y_400mf", "googlenet", "squeezenet1_1", "shufflenet_v2_x1_0"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:SynFlow. all zero:UserWarning")
def test_no_layer_of_torchvisions_models_is_emptied(name: str) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    model = models.get_model(name, **BUILT.get(name, {}))
    parameters = prune.prunable_parameters(model, example_inputs=torch.ones(1, 3, 224, 224))
    assert prune.global_iterative_unstructured(parameters, prune.BalancedSynFlow, 0.95).empty_layers == ()
