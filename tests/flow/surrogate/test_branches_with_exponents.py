"""Branches whose flow exceeds the range of float64, so that values have exponents."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.flow.surrogate.sums import X, net
from torch_synflow import prune

FIRST = torch.tensor([True, True, False, False])


@pytest.mark.parametrize(
    "between",
    [
        lambda x, a, b, c: (x * 1e200) * 1e200 + a,
        lambda x, a, b, c: torch.stack([(x * 1e200) * 1e200, (a * 1e200) * 1e190]).sum(0),
        lambda x, a, b, c: torch.cat([(x * 1e200) * 1e200, a], 1).unflatten(1, (2, 4)).sum(1),
    ],
)
def test_a_branch_beyond_the_range_of_float64_has_its_share(between: Callable[..., Tensor]) -> None:
    """Where it is 1e-400 of the shortcut, or 1e-10 in a stack, whose flows have one exponent in common."""
    model = net(between)
    with torch.no_grad():
        model.last.weight.fill_(1.0)
    scores = prune.BalancedSynFlow.scores(model, example_inputs=X)
    assert float(scores[model.a, "weight"].sum() / scores[model.last, "weight"].sum()) == pytest.approx(0.5, rel=1e-12)
    assert float(scores[model.first, "weight"].sum() / scores[model.last, "weight"].sum()) == pytest.approx(
        1, rel=1e-12
    )


@pytest.mark.parametrize(
    "between",
    [
        lambda x, a, b, c: torch.cat(tensors=[(x * 1e200) * 1e200, torch.ones(1, 4).double()], dim=1)[:, :4],
        lambda x, a, b, c: torch.where(FIRST, (x * 1e200) * 1e200, (a * 1e200) * 1e190),
        lambda x, a, b, c: torch.cat([(x * 1e200) * 1e200, (a * 1e200) * 1e190]).sum(0, keepdim=True),
    ],
    ids=["joined with a constant", "a choice", "joined along the batch"],
)
def test_operations_without_branches_score_as_under_synflow(between: Callable[..., Tensor]) -> None:
    """Flows that meet in them have one exponent in common."""
    model = net(between)
    scores, expected = (method.scores(model, example_inputs=X) for method in (prune.BalancedSynFlow, prune.SynFlow))
    assert float(expected[model.first, "weight"].sum()) > 0
    for score, plain in zip(scores.values(), expected.values(), strict=True):
        torch.testing.assert_close(score, plain, rtol=0, atol=0)


def test_the_sum_of_a_stack_keeps_its_exponent() -> None:
    """What is chosen in place of a part of it carries 1e-10 of the flow."""

    def between(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        summed = torch.stack([(x * 1e200) * 1e200, (a * 1e200) * 1e200]).sum(0)
        return torch.where(FIRST, summed, (c * 1e200) * 1e190)

    model = net(between)
    scores = prune.BalancedSynFlow.scores(model, example_inputs=X)
    assert 0 < float(scores[model.c, "weight"].sum() / scores[model.last, "weight"].sum()) < 1e-8
