"""What users pass: a model wherever parameters are expected, and signatures that name what they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from torch_synflow import ablations, diagnostics, prune, rewinding

X = torch.ones(1, 4)
ALIASES = {"parameters": "Parameters", "example_inputs": "ExampleInputs", "data": "Data", "loss_fn": "LossFunction"}


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions of the package, and the class methods of a method."""
    for module in (prune, diagnostics, ablations, rewinding):
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__.startswith("torch_synflow") and not name.startswith("_"):
                yield f"{module.__name__}.{name}", value
    yield "bind", prune.SaliencyUnstructured.bind
    yield "scores", prune.SaliencyUnstructured.scores


@pytest.mark.parametrize(("name", "function"), list(functions()))
def test_a_signature_names_what_it_takes(name: str, function: Callable[..., Any]) -> None:
    for argument, given in inspect.signature(function).parameters.items():
        if argument in ALIASES and (name, argument) != ("bind", "parameters"):  # pairs alone, in their order
            alias = str(given.annotation).removesuffix(" | None")
            assert alias == ALIASES[argument], f"{argument} of {name} is annotated as {given.annotation}"


@pytest.fixture
def model() -> nn.Sequential:
    """Two parts, of which one is not to be pruned."""
    return nn.Sequential(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), nn.Linear(3, 2))


def test_scores_of_a_part_of_a_model(model: nn.Sequential) -> None:
    assert list(prune.synflow_scores(model, X, model[0])) == [(model[0][0], "weight"), (model[0][2], "weight")]


def test_diagnostics_of_a_part_of_a_model(model: nn.Sequential) -> None:
    assert diagnostics.compression(model, model[0]).report.total == 4 * 5 + 5 * 3


def test_a_part_of_a_model_is_pruned_by_magnitude(model: nn.Sequential) -> None:
    report = rewinding.iterative_magnitude_pruning(
        model, lambda start, stop: None, levels=1, amount=5, parameters=model[0]
    )
    assert report.total == 35
    assert not hasattr(model[1], "weight_mask")
