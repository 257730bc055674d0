"""Leaving dead channels out changes no score: against the dense computation in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from torch_synflow import prune
from torch_synflow.flow.engine.contributions import FlowScores
from torch_synflow.flow.positive import PositiveNetwork
from torch_synflow.model.parameters import Entry, resolve
from torch_synflow.scoring.network import Task
from torch_synflow.selection.survivors import Survivors

SPATIAL = {nn.Linear: 0, nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}


def opened(model: nn.Module, x: Tensor) -> tuple[list[Entry], Survivors, PositiveNetwork]:
    """A network that has been scored once, when it is recorded."""
    entries = resolve(prune.prunable_parameters(model), model)
    survivors = Survivors([entry.mask for entry in entries])
    network = prune.SynFlow.network(Task(model, x), entries, survivors.masks)
    prune.SynFlow.score_entries(entries, network)
    return entries, survivors, network


def by_definition(model: nn.Module, x: Tensor, masks: list[Tensor]) -> list[Tensor]:
    """dR/dw * w of the dense network of absolute values."""
    weights = [entry.parameter for entry in resolve(prune.prunable_parameters(model), model)]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
        for weight, mask in zip(weights, masks, strict=True):
            weight.mul_(mask)
    gradients = torch.autograd.grad(model.eval()(torch.ones_like(x[:1])).sum(), weights)
    return [gradient * weight.detach() for gradient, weight in zip(gradients, weights, strict=True)]


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    kind=st.sampled_from(list(SPATIAL)),
    dead_out=st.sets(st.integers(0, 5), min_size=2, max_size=6),
    dead_in=st.sets(st.integers(0, 4), min_size=1, max_size=5),
    bias=st.booleans(),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    mode=st.sampled_from(["zeros", "reflect", "circular"]),
    size=st.sampled_from([7, 17]),
    seed=st.integers(0, 1000),
)
def test_scores_are_those_of_all_channels(
    kind: Any,
    dead_out: set[int],
    dead_in: set[int],
    bias: bool,
    stride: int,
    padding: int,
    dilation: int,
    mode: str,
    size: int,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    dims = SPATIAL[kind]
    options = {"stride": stride, "padding": padding, "dilation": dilation, "padding_mode": mode} if dims else {}
    if dims == 3:
        size = 7
        options["padding_mode"] = "replicate" if mode == "reflect" else mode
    first = kind(2, 5, *([1] if dims else []))
    model = nn.Sequential(first, kind(5, 6, *([3] if dims else []), bias=bias, **options), nn.ReLU()).double()
    x = torch.rand(2, 2, *[size] * dims, dtype=torch.float64)
    entries, survivors, network = opened(model, x)
    kept = [torch.ones_like(mask) for mask in survivors.masks]
    kept[1][sorted(dead_out)] = False
    kept[1][:, sorted(dead_in)] = False
    survivors.keep_marked(torch.cat([mask.reshape(-1) for mask in kept]))
    network.apply_masks(survivors)
    assert survivors.channels[0] is None
    assert survivors.channels[1] is not None
    scores = prune.SynFlow.score_entries(entries, network)
    expected = by_definition(model, x, kept)
    torch.testing.assert_close(scores.whole(0).view_as(expected[0]), expected[0], rtol=1e-12, atol=0)
    outputs, inputs = survivors.channels[1]
    block = scores.whole(1).view(len(outputs), len(inputs), *expected[1].shape[2:])
    torch.testing.assert_close(block, expected[1][outputs][:, inputs], rtol=1e-12, atol=0)
    assert torch.equal(survivors.whole(1), kept[1])


def test_the_block_is_of_the_channels_with_entries() -> None:
    survivors = Survivors([torch.zeros(4, 3, 2, dtype=torch.bool)])
    assert [kept.tolist() for kept in survivors.compact([0])[0]] == [[0], [0]]  # an empty layer keeps an output
    mask = torch.zeros(4, 3, 2, dtype=torch.bool)
    mask[1, 0, 1] = mask[3, 0, 0] = True
    survivors = Survivors([mask])
    assert [kept.tolist() for kept in survivors.compact([0])[0]] == [[1, 3], [0]]
    assert survivors.masks[0].tolist() == [[[False, True]], [[True, False]]]
    assert torch.equal(survivors.whole(0), mask)
    survivors.keep_marked(torch.tensor([False, True]))
    assert [kept.tolist() for kept in survivors.compact([0])[0]] == [[1], [0]]  # of the block
    assert [kept.tolist() for kept in survivors.channels[0] or ()] == [[3], [0]]
    assert Survivors([torch.ones(4, 3, dtype=torch.bool)]).compact([0]) == {}


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(4, 4, 3, groups=2), nn.ConvTranspose2d(4, 4, 3), nn.Conv2d(4, 4, 3, padding="same")]
)
def test_layers_that_are_computed_whole(layer: nn.Module) -> None:
    """Grouped and transposed convolutions have their channels elsewhere."""
    model = nn.Sequential(layer, nn.ReLU()).double()
    x = torch.rand(2, 4, 5, 5, dtype=torch.float64)
    entries, survivors, network = opened(model, x)
    kept = torch.ones_like(survivors.masks[0])
    kept[:2] = False
    survivors.keep_marked(kept.reshape(-1))
    network.apply_masks(survivors)
    assert survivors.channels == [None]
    scores = prune.SynFlow.score_entries(entries, network).whole(0).view_as(kept)
    torch.testing.assert_close(scores, by_definition(model, x, [kept])[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("method", [prune.SynFlow, prune.SNIP, prune.GraSP])
def test_iterating_to_few_weights_gives_the_masks_of_dense_scoring(method: Any) -> None:
    """Each iteration is compared with one of a fresh call, which scores all channels."""
    x, y = torch.rand(6, 3, 8, 8, dtype=torch.float64), torch.arange(6) % 3
    needs = {"example_inputs": x, "data": (x, y), "loss_fn": nn.functional.cross_entropy}

    def build() -> nn.Module:
        torch.manual_seed(0)
        body = [nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 3, stride=2), nn.ReLU()]
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(48, 3)).double()

    once, again = build(), build()
    counts: list[int] = []
    prune.global_iterative_unstructured(
        once, method, 0.98, iterations=12, callback=lambda _, report: counts.append(report.kept), **needs
    )
    before = 12 * 27 + 12 * 108 + 144
    for count in counts:
        prune.global_iterative_unstructured(again, method, before - count, iterations=1, **needs)
        before = count
    for index in (0, 3, 6):
        assert torch.equal(once[index].weight_mask, again[index].weight_mask)


def test_only_positions_that_a_maximum_chooses_are_multiplied() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 600, 3, padding=1), nn.ReLU(), nn.Conv2d(600, 300, 3, padding=1), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(300 * 4, 5),
    )  # fmt: skip
    x = torch.rand(1, 3, 8, 8)
    entries = resolve(prune.prunable_parameters(model), model)
    network = prune.SynFlow.network(Task(model, x), entries, [entry.mask for entry in entries])
    scores = prune.SynFlow.score_entries(entries, network)
    assert isinstance(scores, FlowScores)
    uses = [weight.uses[0] for weight in scores._measured]
    assert [len(use.seen) for use in uses] == [len(use.at_output) for use in uses]
    assert [len(use.seen) for use in uses][2:] == [16, 4, 1]  # of 16, 16, and 1; before that equal ones are held once
    expected = by_definition(model.double(), x.double(), [torch.ones_like(entry.parameter) for entry in entries])
    for number, score in enumerate(expected):
        torch.testing.assert_close(scores.whole(number), score.flatten(), rtol=1e-12, atol=0)
