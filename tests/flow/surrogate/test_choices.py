"""Operations that choose by values: under SynFlow they choose in turn, whatever has been pruned."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import prune

Route = Callable[[Tensor], tuple[Tensor, Tensor]]


def two_of_four(logits: Tensor) -> tuple[Tensor, Tensor]:
    weights, chosen = logits.softmax(-1).topk(2, -1)
    return weights / weights.sum(-1, keepdim=True), chosen


def first_the_greatest(logits: Tensor) -> tuple[Tensor, Tensor]:
    logits, chosen = torch.topk(logits, k=2, dim=-1)
    return logits.softmax(-1), chosen


def one(logits: Tensor) -> tuple[Tensor, Tensor]:
    rows = logits.softmax(-1)
    chosen = rows.argmax(-1, keepdim=True)
    return rows.gather(-1, chosen), chosen


class Mixture(nn.Module):
    """Experts that tokens are routed to, as Mixtral and Switch Transformers have them."""

    def __init__(self, route: Route) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.route = route
        self.first, self.router, self.last = nn.Linear(6, 8), nn.Linear(8, 4), nn.Linear(8, 3)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).flatten(0, 1)
        weights, chosen = self.route(self.router(x))
        y = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            row, place = torch.where(chosen == number)
            y = y.index_add(0, row, weights[row, place, None] * expert(x[row]))
        return self.last(F.relu(x + y))  # type: ignore[no-any-return]


@pytest.mark.parametrize("route", [two_of_four, first_the_greatest, one])
def test_tokens_are_dealt_to_experts_in_turn_and_the_pass_is_recorded(
    route: Route, caplog: pytest.LogCaptureFixture
) -> None:
    model, x = Mixture(route), torch.rand(1, 4, 6)
    with caplog.at_level(logging.INFO, "torch_synflow"):
        scores = prune.synflow_scores(model, x)
    assert "own code in each iteration" not in caplog.text
    experts = [float(scores[expert[0], "weight"].sum()) for expert in model.experts]
    assert min(experts) > 0
    assert experts == pytest.approx([experts[0]] * 4, rel=0.8)
    report = prune.global_iterative_unstructured(model, prune.BalancedSynFlow, 0.5, example_inputs=x, iterations=10)
    assert report.empty_layers == ()


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_choices_have_the_shapes_of_torchs(dim: int) -> None:
    class Chooses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            values, indices = x.topk(1, dim)
            again = x.argmax(dim)
            assert values.shape == indices.shape == x.narrow(dim, 0, 1).shape
            assert again.shape == x.select(dim, 0).shape
            assert x.argmax().shape == ()
            return x.gather(dim, indices) + values

    scores = prune.synflow_scores(Chooses(), torch.ones(1, 4, 6))
    assert all(bool(score.any()) for score in scores.values())
