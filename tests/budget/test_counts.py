"""How many elements are removed and kept: amounts as torch takes them, and counts after each iteration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.small_net import Net, X, kept, refuses
from torch_synflow import SynFlow, prune, schedules
from torch_synflow.budget.counts import kept_counts
from torch_synflow.schedules import exponential, linear


@pytest.mark.parametrize(
    ("amount", "left"),
    [
        (1, 55),
        (1.0, 0),
        (0, 56),
        (0.0, 56),
        (0.5, 28),
        (56, 0),
        (np.float32(0.5), 28),
        (np.float64(0.5), 28),
        (np.int64(3), 53),
    ],
)
def test_amounts_that_torch_takes(amount: Any, left: int) -> None:
    for method in (SynFlow, prune.L1Unstructured):
        model = Net()
        report = prune.global_iterative_unstructured(model, method, amount, example_inputs=X)
        assert report.kept == kept(model) == left


@pytest.mark.parametrize(
    ("amount", "error"),
    [(True, TypeError), (np.True_, TypeError), ("0.5", TypeError), (None, TypeError), (torch.tensor(0.5), TypeError)]
    + [(value, ValueError) for value in (float("nan"), float("inf"), -0.1, 1.1, -1, 57, np.int64(57))],
)
def test_amounts_that_mean_nothing(amount: Any, error: type[Exception]) -> None:
    for method in (SynFlow, prune.L1Unstructured):
        model = Net()
        refuses(
            error,
            "amount: expected",
            model,
            lambda m=method, model=model: prune.global_iterative_unstructured(model, m, amount, example_inputs=X),
        )
    if not isinstance(amount, (int, np.integer)) or amount < 0 or isinstance(amount, bool):
        with pytest.raises(error, match="amount: expected"):
            SynFlow(amount)


@pytest.mark.parametrize(
    ("schedule", "steps", "total", "kept", "expected"),
    [
        (exponential, 4, 10_000, 1, [1000, 100, 10, 1]),
        (exponential, 2, 100, 25, [50, 25]),
        (exponential, 3, 10, 5, [8, 6, 5]),  # 7.94, 6.30
        (linear, 4, 10, 2, [8, 6, 4, 2]),
        (linear, 4, 10, 0, [8, 5, 2, 0]),  # 7.5 and 2.5 round to the even number
        (linear, 3, 10, 10, [10, 10, 10]),
        (exponential, 3, 10, 10, [10, 10, 10]),
        (exponential, 3, 10, 0, [0, 0, 0]),
        (exponential, 1, 7, 3, [3]),
        (exponential, 2, 0, 0, [0, 0]),  # everything was pruned before
        (linear, 5, 3, 2, [3, 3, 2, 2, 2]),  # 2.8, 2.6, 2.4, 2.2
    ],
)
def test_kept_counts(schedule: schedules.Schedule, steps: int, total: int, kept: int, expected: list[int]) -> None:
    assert kept_counts(schedule, steps, total, kept) == expected
