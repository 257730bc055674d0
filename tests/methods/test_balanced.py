"""BalancedSynFlow: no branch is emptied where SynFlow empties some, and the same masks where nothing is summed."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import resnet, vgg
from torch_synflow import prune

IMAGE = torch.ones(1, 3, 32, 32)


class Attending(nn.Module):
    """A class token, positions and attention without shortcuts, which add and join only what is no flow."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Linear(9, 12)
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, 12)), nn.Parameter(torch.randn(1, 6, 12))
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.head = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.token.expand(len(x), -1, -1), self.patches(x)], 1) + self.positions
        return self.head(self.attention(x, x, x)[0][:, 0])


def without_branches() -> list[Any]:
    return [
        pytest.param(lambda: initialise(vgg((8, "M", 16, "M", 16))), IMAGE, id="vgg"),
        pytest.param(lambda: nn.Sequential(nn.Linear(9, 40), nn.GELU(), nn.LayerNorm(40), nn.Linear(40, 5)),
                     torch.ones(1, 9), id="mlp"),
        pytest.param(lambda: nn.Sequential(nn.Conv1d(2, 9, 3), nn.PReLU(), nn.Flatten(), nn.Linear(54, 5)),
                     torch.ones(1, 2, 8), id="conv1d"),
        pytest.param(Attending, torch.ones(1, 5, 9), id="attention"),
    ]  # fmt: skip


@pytest.mark.parametrize(("build", "x"), without_branches())
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


class UNet(nn.Module):
    """Three levels; a level reads the one below it and, by a skip connection, what it had before."""

    def __init__(self, *, bias: bool) -> None:
        super().__init__()

        def convolutions(width: int, out: int) -> nn.Module:
            first, second = (nn.Conv2d(of, out, 3, padding=1, bias=bias) for of in (width, out))
            return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())

        self.down = nn.ModuleList(convolutions(*widths) for widths in ((3, 4), (4, 8), (8, 16)))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * out, out, 2, stride=2, bias=bias) for out in (8, 4))
        self.joined = nn.ModuleList(convolutions(2 * out, out) for out in (8, 4))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.down[0](x)
        b = self.down[1](F.max_pool2d(a, 2))
        b = self.joined[0](torch.cat([b, self.up[0](self.down[2](F.max_pool2d(b, 2)))], 1))
        return self.head(self.joined[1](torch.cat([a, self.up[1](b)], 1)))


def pruned_unet(method: Any, seed: int, *, bias: bool) -> tuple[prune.PruningReport, float]:
    """The report at an amount of 0.95, and the skip connection's share of the weights that read the upper join."""
    torch.manual_seed(seed)
    model = UNet(bias=bias)
    report = prune.global_iterative_unstructured(
        model, method, 0.95, example_inputs=torch.ones(1, 3, 8, 8), iterations=30
    )
    of_skip, of_lower = model.joined[1][0].weight_mask.sum((0, 2, 3)).chunk(2)
    return report, float(of_skip.sum() / (of_skip.sum() + of_lower.sum()))


LOWEST = ("down.2.0.weight", "down.2.2.weight", "up.0.weight")


@pytest.mark.parametrize("seed", [0, 1])
def test_skips_and_levels_of_a_unet_are_kept_where_synflow_cuts_them_off(seed: int) -> None:
    report, of_skip = pruned_unet(prune.SynFlow, seed, bias=False)
    assert (report.bypassed, of_skip) == (LOWEST, 0.0)
    report, of_skip = pruned_unet(prune.BalancedSynFlow, seed, bias=False)
    assert report.empty_layers == ()
    assert of_skip == pytest.approx(0.5, abs=0.1)


class KeepingBalanced(prune.BalancedSynFlow):  # type: ignore[misc]
    keep_layers: ClassVar[bool] = True


@pytest.mark.parametrize("seed", [0, 1])
def test_biases_of_a_branch_carry_its_share_unless_layers_are_kept(seed: int) -> None:
    assert pruned_unet(prune.BalancedSynFlow, seed, bias=True)[0].bypassed == LOWEST
    assert pruned_unet(KeepingBalanced, seed, bias=True)[0].empty_layers == ()


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
