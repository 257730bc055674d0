"""Schedules: densities worked out by hand, and functions that are no schedules."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from torch_synflow import prune, schedules
from torch_synflow.budget.counts import kept_counts
from torch_synflow.schedules import exponential, linear


@pytest.mark.parametrize(
    ("step", "steps", "density", "expected"),
    [
        (1, 1, 0.3, 0.3),
        (1, 2, 0.25, 0.5),
        (1, 3, 0.001, 0.1),
        (2, 3, 0.001, 0.01),
        (3, 3, 0.001, 0.001),
        (5, 100, 1.0, 1.0),
        (1, 4, 0.0, 0.0),
        (50, 100, 0.01, 0.1),
    ],
)
def test_exponential(step: int, steps: int, density: float, expected: float) -> None:
    value = exponential(step, steps, density)
    assert isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "steps", "density", "expected"),
    [
        (1, 1, 0.3, 0.3),
        (1, 2, 0.25, 0.625),
        (1, 4, 0.2, 0.8),
        (2, 4, 0.2, 0.6),
        (3, 4, 0.2, 0.4),
        (4, 4, 0.2, 0.2),
        (1, 4, 0.0, 0.75),
        (4, 4, 0.0, 0.0),
        (7, 9, 1.0, 1.0),
    ],
)
def test_linear(step: int, steps: int, density: float, expected: float) -> None:
    assert linear(step, steps, density) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("schedule", [exponential, linear], ids=lambda schedule: schedule.__name__)
@pytest.mark.parametrize("density", [0.0, 1 / 3, 0.1, 1e-7, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100])
def test_the_last_density_is_exact(schedule: schedules.Schedule, density: float, steps: int) -> None:
    assert schedule(steps, steps, density) == density


def test_a_schedule_is_any_function_of_step_steps_and_density() -> None:
    calls: list[tuple[int, int, float]] = []

    def two_phases(step: int, steps: int, density: float) -> float:
        calls.append((step, steps, density))
        return 1.0 if step < 3 else density

    assert kept_counts(two_phases, 4, 10, 2) == [10, 10, 2, 2]
    assert calls == [(1, 4, 0.2), (2, 4, 0.2), (3, 4, 0.2), (4, 4, 0.2)]


def test_a_schedule_may_return_other_numbers_and_be_off_by_rounding() -> None:
    assert kept_counts(lambda step, steps, density: 1, 3, 10, 10) == [10, 10, 10]
    assert kept_counts(lambda step, steps, density: math.exp(math.log(density) * step / steps), 3, 1000, 1)[-1] == 1
    assert kept_counts(lambda step, steps, density: density * (1 + 1e-12), 2, 10**6, 3) == [3, 3]
    assert kept_counts(lambda step, steps, density: density * (1 + 5e-7), 1, 10**9, 5 * 10**8) == [5 * 10**8]


BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda step, steps, density: [0.5, 0.6, density][step - 1], ValueError, "never rise, got 0.6 at step 2 of 3"),
    (lambda step, steps, density: [1.5, 0.6, density][step - 1], ValueError, r"in \(0, 1\], got 1.5 at step 1 of 3"),
    (lambda step, steps, density: [0.9, -0.1, density][step - 1], ValueError, r"in \(0, 1\], got -0.1 at step 2 of 3"),
    (lambda step, steps, density: [0.9, 0.0, density][step - 1], ValueError, r"in \(0, 1\], got 0.0 at step 2 of 3"),
    (lambda step, steps, density: math.nan, ValueError, r"in \(0, 1\], got nan at step 1 of 3"),
    (lambda step, steps, density: math.inf, ValueError, r"in \(0, 1\], got inf at step 1 of 3"),
    (lambda step, steps, density: [0.9, 0.8, 0.7][step - 1], ValueError, "final density 0.25 at step 3 of 3, got 0.7"),
    (lambda step, steps, density: [0.9, 0.2, 0.1][step - 1], ValueError, "final density 0.25 at step 3 of 3, got 0.1"),
    (lambda step, steps, density: 1 - density, ValueError, "final density 0.25"),  # what to remove, not to keep
    (lambda step, steps, density: True, TypeError, "got True at step 1 of 3"),
    (lambda step, steps, density: "0.5", TypeError, "got '0.5' at step 1 of 3"),
    (lambda step, steps, density: None, TypeError, "got None at step 1 of 3"),
    (lambda step, steps, density: torch.tensor(0.5), TypeError, "got tensor"),
    (lambda step, steps, density: 0.5j, TypeError, "got 0.5j"),
    (lambda step, steps: 0.5, TypeError, "positional argument"),
    ("exponential", TypeError, "schedule: expected a function .* got 'exponential'"),
    (0.5, TypeError, "schedule: expected a function .* got 0.5"),
    ([0.5, 0.25], TypeError, "schedule: expected a function"),
]


@pytest.mark.parametrize(("schedule", "error", "message"), BAD)
def test_what_is_no_schedule_is_refused(schedule: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kept_counts(schedule, 3, 48, 12)


@pytest.mark.parametrize(("schedule", "error", "message"), BAD)
def test_what_is_no_schedule_is_refused_before_anything_is_touched(
    schedule: Any, error: type[Exception], message: str
) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    called: list[int] = []
    with pytest.raises(error, match=message):
        prune.global_iterative_unstructured(
            model,
            prune.L1Unstructured,
            0.75,
            iterations=3,
            schedule=schedule,
            callback=lambda step, report: called.append(step),
        )
    assert not called
    assert not prune.is_pruned(model)


def test_the_package_exports_both() -> None:
    assert prune.exponential is exponential is schedules.exponential
    assert prune.linear is linear is schedules.linear
