"""Values times powers of two: the same scores, however deep the network."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.training.networks import resnet
from tests.flow.flows import IMAGE
from tests.flow.networks import Attention, SqueezeExcite
from torch_synflow import prune
from torch_synflow.flow.surrogate.exponents import ScaledFlow


def up_to_a_factor(scores: dict[Any, Tensor], expected: dict[Any, Tensor]) -> None:
    largest = max(expected, key=lambda pair: float(expected[pair].max()))
    factor = scores[largest].sum() / expected[largest].sum()
    for pair, score in expected.items():
        torch.testing.assert_close(scores[pair], score * factor, rtol=1e-9, atol=0)


def scaled_scores(monkeypatch: pytest.MonkeyPatch, model: nn.Module, x: Any) -> dict[Any, Tensor]:
    """The scores on values times powers of two, although the plain ones are finite."""
    made: list[str] = []

    class Noted(ScaledFlow):
        def total(self, outputs: Any) -> Tensor:
            made.append("total")
            return super().total(outputs)

    with monkeypatch.context() as patch:
        patch.setattr(prune.SynFlow, "_modes", (Noted, Noted))
        scores = prune.synflow_scores(model, x)
    assert made
    return scores


@pytest.mark.parametrize("norm", [True, False])
def test_powers_of_two_change_nothing_on_a_residual_network(monkeypatch: pytest.MonkeyPatch, norm: bool) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)

        def forward(self, x: Tensor) -> Tensor:
            x = x + F.relu(self.norm(self.conv(x)) if norm else self.conv(x))
            x += 0.5
            return torch.cat([x[:, :3], 3 * x[:, 3:] - 1], 1)

    model = nn.Sequential(nn.Conv2d(3, 6, 3), *[Block() for _ in range(4)], nn.Flatten(), nn.Linear(216, 4))
    for block in model[1:5]:
        nn.init.uniform_(block.norm.running_mean, 0, 1e-3)
        nn.init.uniform_(block.norm.bias, 0, 1e-1)
    model.eval()
    up_to_a_factor(scaled_scores(monkeypatch, model, IMAGE), prune.synflow_scores(model, IMAGE))


@pytest.mark.parametrize("form", ["module", "separate", "function", "einsum", "fused"])
def test_powers_of_two_change_nothing_on_gates_and_attention(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), Attention(form), nn.GELU(), nn.Linear(8, 6), nn.GLU())
    x = torch.ones(1, 5, 6)
    up_to_a_factor(scaled_scores(monkeypatch, model, x), prune.synflow_scores(model, x))
    convolutional = nn.Sequential(nn.Conv2d(3, 8, 3), SqueezeExcite(torch.sigmoid), nn.Flatten(), nn.Linear(288, 4))
    up_to_a_factor(scaled_scores(monkeypatch, convolutional, IMAGE), prune.synflow_scores(convolutional, IMAGE))


@pytest.mark.parametrize("depth", [400, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("weight", [3.0, 0.01])
def test_a_deep_mlp_is_that_of_rational_arithmetic(weight: float, depth: int) -> None:
    """With equal layers of two units every score of a layer is R / 4 but for a factor that all share."""
    layers = [nn.Linear(2, 2, bias=False) for _ in range(depth)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.fill_(weight)
            layer.weight[0, 0] = -3 * weight
    model = nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())])
    scores = prune.synflow_scores(model, torch.ones(1, 2))
    # matrices in integers: forward and backward vectors of the positive network, weights 3 1 1 1
    forward, backward = [(1, 1)], [(1, 1)]
    for _ in range(depth - 1):
        a, b = forward[-1]
        forward.append((3 * a + b, a + b))
        a, b = backward[-1]
        backward.append((3 * a + b, a + b))
    total = None
    for index in (0, 1, 2, depth // 2 - 1, depth - 3, depth - 2, depth - 1):
        exact = [
            [Fraction(u * w * v) for v, w in zip(forward[index], row, strict=True)]
            for u, row in zip(backward[depth - 1 - index], ((3, 1), (1, 1)), strict=True)
        ]
        whole = sum(value for row in exact for value in row)
        score = scores[layers[index], "weight"]
        total = score.sum() if total is None else total
        expected = torch.tensor([[float(value / whole) for value in row] for row in exact], dtype=torch.float64)
        torch.testing.assert_close(score.as_subclass(Tensor), expected * float(total), rtol=1e-9, atol=0)


@pytest.mark.slow
def test_resnet_1202_is_finite_and_conserved() -> None:
    model = resnet(1202)
    scores = prune.synflow_scores(model, torch.ones(1, 3, 32, 32))
    assert all(score.isfinite().all() and score.any() for score in scores.values())
