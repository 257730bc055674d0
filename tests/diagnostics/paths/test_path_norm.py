"""The l1 path norm against the sum over all paths, and against R of SynFlow."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.diagnostics.paths.brute_force import Grouped, Mlp, Residual
from tests.diagnostics.paths.random_networks import random_network
from torch_synflow import diagnostics, prune


@pytest.mark.parametrize("kind", [Mlp, Residual, Grouped])
@settings(deadline=None, max_examples=30, derandomize=True)
@given(seed=st.integers(0, 10**6), density=st.sampled_from([0.2, 0.4]), bias=st.booleans())
def test_it_is_the_sum_over_all_paths(kind: type[nn.Module], seed: int, density: float, bias: bool) -> None:
    model, masks = random_network(kind, seed, density)
    if not bias:
        for module in model.children():
            nn.init.zeros_(module.bias)
    network, outputs = model.unroll(masks)
    weights = {name: module.weight.detach().abs().double().flatten() for name, module in model.named_children()}
    total = sum(math.prod(float(weights[name][flat]) for name, flat in path) for path in network.paths(outputs))
    found = diagnostics.path_norm(model, torch.rand(3, *model.shape))
    assert found.path_norm == pytest.approx(total, rel=1e-9, abs=1e-12)
    if bias:
        assert found.synflow > found.path_norm
    else:
        assert found.synflow == pytest.approx(total, rel=1e-9, abs=1e-12)
        assert found.from_biases == pytest.approx(0, abs=1e-9)


def test_scores_of_synflow_at_a_cut_sum_to_it() -> None:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, bias=False)]
    model = nn.Sequential(*convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(32, 5, bias=False))
    x = torch.rand(1, 3, 6, 6)
    found = diagnostics.path_norm(model, x)
    for score in prune.synflow_scores(model, x).values():
        assert float(score.sum()) == pytest.approx(found.path_norm, rel=1e-12)
    assert str(found).count("\n") == 3


def test_beyond_float64_it_is_infinite() -> None:
    model = nn.Sequential(*[nn.Linear(100, 100, bias=False) for _ in range(200)])
    with torch.no_grad():
        for layer in model:
            layer.weight.fill_(10.0)
    assert diagnostics.path_norm(model, torch.rand(1, 100)).path_norm == math.inf
