"""What the theory page says of removing less than any layer's total at once, and where that does not hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.flow.surrogate.graphs import INPUT, Graph, Step, graphs
from torch_synflow import prune

pytestmark = pytest.mark.filterwarnings("ignore:.*SynFlow. on no path:UserWarning")
METHODS = [prune.SynFlow, prune.BalancedSynFlow]


def scores_of(model: nn.Module, method: Any, x: Tensor) -> list[Tensor]:
    return [score.as_subclass(Tensor) for score in method.scores(model, example_inputs=x).values()]


def mask(model: nn.Module, kept: list[Tensor]) -> None:
    for (layer, name), each in zip(prune.prunable_parameters(model), kept, strict=True):
        prune.custom_from_mask(layer, name, each)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lowest_first", [True, False])
@settings(deadline=None, max_examples=30, derandomize=True)
@given(steps=graphs(), density=st.sampled_from([1.0, 0.7, 0.4]), seed=st.integers(0, 1000))
def test_flow_still_reaches_each_layer(
    method: Any, lowest_first: bool, steps: list[Step], density: float, seed: int
) -> None:
    """As many weights as the condition allows, the lowest or any; masks at random before."""
    model = Graph.positive(steps, seed)
    mask(model, [(torch.rand_like(layer.weight) < density).double() for layer, _ in prune.prunable_parameters(model)])
    assume(bool(model(INPUT).any()))
    before = scores_of(model, method, INPUT)
    totals = torch.stack([score.sum() for score in before])
    flat = torch.cat([score.reshape(-1) for score in before])
    order = flat.argsort() if lowest_first else torch.randperm(len(flat))
    removed = order[flat[order].cumsum(0) < totals[totals > 0].min() * (1 - 1e-9)]
    kept = torch.ones_like(flat).index_fill_(0, removed, 0.0).split([score.numel() for score in before])
    mask(model, [each.view_as(score) for each, score in zip(kept, before, strict=True)])
    after = torch.stack([score.sum() for score in scores_of(model, method, INPUT)])
    assert torch.equal(after > 0, totals > 0)


class Thrice(nn.Module):
    """Paths through the inner layer cross it three times."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.first, self.inner = nn.Linear(weights.shape[1], 2, bias=False), nn.Linear(1, 1, bias=False)
        self.first.weight, self.inner.weight = nn.Parameter(weights), nn.Parameter(torch.ones(1, 1).double())

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x).split(1, -1)
        return self.inner(self.inner(self.inner(a))) + b


class Greatest(Thrice):
    """The greater of two flows is a path, and the other none."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x).split(1, -1)
        return torch.stack([self.inner(a), b], -1).amax(-1)


@pytest.mark.parametrize(
    ("build", "method", "weights"),
    [
        (Thrice, prune.SynFlow, [[1.0], [10.0]]),  # totals of 11 and 3
        (Thrice, prune.BalancedSynFlow, [[1.0], [10.0]]),  # 11 and 16.5
        (Greatest, prune.SynFlow, [[0.75, 0.5], [0.5, 0.5]]),  # 1.25 and 1.25
    ],
)
def test_paths_that_cross_a_layer_twice_or_depend_on_the_weights_are_not_covered(
    build: Any, method: Any, weights: list[list[float]]
) -> None:
    """The first weight is less than any layer's total, and all paths through the inner layer go with it."""
    model = build(torch.tensor(weights).double())
    x = torch.ones(1, len(weights[0]), dtype=torch.float64)
    first, inner = scores_of(model, method, x)
    assert first[0, 0] < min(first.sum(), inner.sum())
    kept = torch.ones_like(first)
    kept[0, 0] = 0.0
    mask(model, [kept, torch.ones_like(inner)])
    first, inner = scores_of(model, method, x)
    assert bool(first.any())
    assert not inner.any()
