"""Masks of given scores, as torch's own functions ask a method for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from torch_synflow import prune


def ranked(scores: list[float], mask: list[float], amount: float) -> list[float]:
    """The mask that SynFlow makes of given scores."""
    marked = torch.tensor(scores).as_subclass(prune.Scores)
    return prune.SynFlow(amount).compute_mask(marked, torch.tensor(mask)).tolist()


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (0, [1, 0, 1, 1, 0, 1]),
        (0.0, [1, 0, 1, 1, 0, 1]),
        (1, [1, 0, 1, 1, 0, 0]),  # of the two entries of score 1 the higher index goes
        (2, [0, 0, 1, 1, 0, 0]),
        (0.5, [0, 0, 1, 1, 0, 0]),  # a fraction of the four that are left
        (0.25, [1, 0, 1, 1, 0, 0]),
        (0.37, [1, 0, 1, 1, 0, 0]),  # 1.48 rounds to 1
        (0.38, [0, 0, 1, 1, 0, 0]),  # 1.52 rounds to 2
        (0.125, [1, 0, 1, 1, 0, 1]),  # 0.5 rounds to the even 0, as torch's round
        (0.375, [0, 0, 1, 1, 0, 0]),  # 1.5 rounds to the even 2
        (3, [0, 0, 1, 0, 0, 0]),
        (4, [0, 0, 0, 0, 0, 0]),
        (1.0, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_a_mask_keeps_the_highest_of_what_is_left(amount: float, expected: list[float]) -> None:
    assert ranked([1.0, 9.0, 3.0, 2.0, 8.0, 1.0], [1.0, 0.0, 1.0, 1.0, 0.0, 1.0], amount) == expected


def test_a_mask_has_the_shape_and_dtype_of_the_earlier_one() -> None:
    scores = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64).as_subclass(prune.Scores)
    mask = prune.SynFlow(2).compute_mask(scores, torch.ones(2, 2, dtype=torch.bfloat16))
    assert type(mask) is Tensor
    assert mask.dtype == torch.bfloat16
    assert mask.tolist() == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize("method", [prune.SynFlow, prune.SNIP, prune.GraSP], ids=lambda method: method.__name__)
def test_raw_weights_are_refused(method: Any) -> None:
    with pytest.raises(ValueError, match="ranks scores, not weights"):
        method(0.5).compute_mask(torch.rand(4), torch.ones(4))


@pytest.mark.parametrize("method", [prune.SynFlow, prune.L1Unstructured], ids=lambda method: method.__name__)
@pytest.mark.parametrize(
    ("amount", "error", "message"),
    [
        (-1, ValueError, "amount: expected a count of at least 0, got -1"),
        (49, ValueError, "amount: expected at most 48, .* got 49; for 49 percent, write 0.49$"),
        (120, ValueError, "amount: expected at most 48, .* got 120$"),
        (95.0, ValueError, "amount: expected a float between 0 and 1 .* got 95.0; for 95 percent, write 0.95; an int"),
        (-0.1, ValueError, "amount: expected a float between 0 and 1 .* got -0.1"),
        (1.1, ValueError, "amount: expected a float between 0 and 1 .* got 1.1"),
        (float("nan"), ValueError, "amount: expected a float between 0 and 1 .* got nan"),
        (float("inf"), ValueError, "amount: expected a float between 0 and 1 .* got inf"),
        (True, TypeError, "amount: expected .* got True"),
        ("0.5", TypeError, "amount: expected .* got '0.5'"),
        (None, TypeError, "amount: expected .* got None"),
        ([0.5], TypeError, "amount: expected .* got"),
        (0.5j, TypeError, "amount: expected .* got"),
    ],
)
def test_a_bad_amount_is_refused_before_anything_is_touched(
    method: Any, amount: Any, error: type[Exception], message: str
) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(error, match=message):
        prune.global_iterative_unstructured(model, method, amount, example_inputs=torch.rand(1, 4))
    assert not prune.is_pruned(model)


@pytest.mark.parametrize(
    ("amount", "kept"), [(0, 48), (0.0, 48), (1, 47), (48, 0), (1.0, 0), (0.01, 48), (0.011, 47), (0.5, 24)]
)
@pytest.mark.parametrize("iterations", [1, 5])
def test_extreme_amounts(amount: float, kept: int, iterations: int) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    report = prune.global_iterative_unstructured(
        model, prune.SynFlow, amount, example_inputs=torch.rand(1, 4), iterations=iterations
    )
    assert report.kept == kept
    assert int(model[0].weight_mask.sum() + model[2].weight_mask.sum()) == kept
    assert prune.is_pruned(model)  # also for amount 0, as torch's own function leaves it


def test_numbers_of_other_types_are_amounts() -> None:
    """A NumPy or torch integer is a count, as ``numbers.Integral`` says."""
    for amount, kept in ((np.int64(5), 43), (np.float32(0.5), 24), (np.float64(0.5), 24)):
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        assert prune.global_iterative_unstructured(model, prune.L1Unstructured, amount).kept == kept
