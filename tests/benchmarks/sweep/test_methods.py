"""Shares of the branches of sums other than equal ones, in figures by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.sweep.methods import METHODS, floor, root, starving
from torch_synflow import prune

CARRIED = torch.tensor([9.0, 1.0, 0.0], dtype=torch.float64)
COUNTS = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)  # the last one is dead


def shares_of(rule: object) -> list[float]:
    parts = rule(CARRIED, COUNTS)  # type: ignore[operator]
    return (parts / parts.sum()).tolist()


def test_a_floor_leaves_a_branch_its_own_share_of_the_rest() -> None:
    assert shares_of(floor(0.5)) == pytest.approx([0.25 + 0.45, 0.25 + 0.05, 0.0], rel=1e-15)
    assert shares_of(floor(1.0)) == [0.5, 0.5, 0.0]
    assert shares_of(floor(0.0)) == [0.9, 0.1, 0.0]


def test_roots_are_between_equal_shares_and_the_plain_sum() -> None:
    assert shares_of(root) == pytest.approx([0.75, 0.25, 0.0], rel=1e-15)
    counts = torch.tensor([3.0, 1.0])  # a nested sum of three, and as much in one branch
    assert root(torch.tensor([3.0, 1.0]), counts).tolist() == pytest.approx([3.0, 1.0])


class Residual(nn.Module):
    """A residual connection whose branch has small weights, so it carries little of the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.branch, self.last = (nn.Linear(4, 4, bias=False) for _ in range(3))
        with torch.no_grad():
            self.branch.weight.mul_(1e-3)
            self.last.weight.fill_(0.25)  # all that the sum carries counts alike

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum."""
        h = self.first(x)
        return self.last(h + self.branch(h))  # type: ignore[no-any-return]


def test_the_methods_keep_as_much_of_a_weak_branch_as_their_shares_say() -> None:
    torch.manual_seed(0)
    model, x = Residual().double(), torch.ones(1, 4, dtype=torch.float64)
    carried = {}
    for name in ("synflow", "floor_tenth", "root", "floor_half", "starving", "balanced"):
        method = METHODS[name].pruning_method
        assert issubclass(method, prune.SynFlow)
        scores = method.scores(model, example_inputs=x)
        carried[name] = float(scores[model.branch, "weight"].sum() / scores[model.last, "weight"].sum())
    assert carried["balanced"] == carried["starving"] == pytest.approx(0.5, rel=1e-12)
    own = carried["synflow"]
    assert carried["floor_half"] == pytest.approx(0.25 + own / 2, rel=1e-12)
    assert carried["floor_tenth"] == pytest.approx(0.05 + own * 0.9, rel=1e-12)
    assert carried["root"] == pytest.approx(own**0.5 / (own**0.5 + (1 - own) ** 0.5), rel=1e-12)


def test_branches_are_balanced_at_need_while_one_starves() -> None:
    counts = torch.tensor([1.0, 1.0])
    assert starving(0.1)(torch.tensor([97.0, 3.0]), counts).tolist() == [1.0, 1.0]
    assert starving(0.1)(torch.tensor([90.0, 10.0]), counts).tolist() == [90.0, 10.0]
