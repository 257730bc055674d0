"""Warnings point at the line of the caller, however deep they arise."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from torch_synflow import diagnostics, prune

X = torch.ones(1, 4)


def zero_head() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    nn.init.zeros_(model[2].weight)
    return model


def through_the_loop() -> None:
    prune.global_iterative_unstructured(zero_head(), prune.SynFlow, 0.5, example_inputs=X)


def through_scores() -> None:
    prune.synflow_scores(zero_head(), X)


def through_torch() -> None:
    model = zero_head()
    bound = prune.SynFlow.bind(model, example_inputs=X)
    torch_prune.global_unstructured([(model[0], "weight"), (model[2], "weight")], bound, amount=0.5)


def through_diagnostics() -> None:
    model = zero_head()
    prune.random_unstructured(model[2], "weight", amount=16)
    diagnostics.warn_if_untrainable(model, X)


@pytest.mark.parametrize("call", [through_the_loop, through_scores, through_torch, through_diagnostics])
def test_a_warning_points_at_the_callers_line(call: Callable[[], None]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    (warning,) = caught
    lines, start = inspect.getsourcelines(call)
    assert warning.filename == __file__
    assert warning.lineno == start + len(lines) - 1  # the last line of the function
