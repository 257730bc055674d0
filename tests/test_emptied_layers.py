"""A call that empties layers says so, once, by name, and before anything is attached."""

from __future__ import annotations

import copy
import itertools
import warnings

import pytest
import torch
from torch import nn

from benchmarks.faults.fingerprint import fingerprint
from torch_synflow import prune

X = torch.ones(1, 30)
pytestmark = pytest.mark.filterwarnings("default:.*nothing is left of:UserWarning")


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    widths = (30, 60, 5, 40, 3)
    layers = [nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(widths)]
    return nn.Sequential(*[module for layer in layers for module in (layer, nn.ReLU())][:-1])


def test_emptied_layers_are_named_with_what_to_do() -> None:
    with pytest.warns(prune.EmptiedLayersWarning) as caught:
        report = prune.global_iterative_unstructured(chain(), prune.SynFlow, 0.99, example_inputs=X, iterations=1)
    (warning,) = caught
    message = str(warning.message)
    assert warning.filename == __file__
    assert f"nothing is left of {len(report.empty_layers)} of 4 layers: {', '.join(report.empty_layers)};" in message
    for advice in ("prune.BalancedSynFlow", "a smaller amount", "more iterations", "keep_layers = True"):
        assert advice in message


def test_methods_that_have_no_such_option_do_not_name_it() -> None:
    with pytest.warns(prune.EmptiedLayersWarning) as caught:
        prune.global_iterative_unstructured(chain(), prune.L1Unstructured, 0.999)
    assert "keep_layers" not in str(caught[0].message)
    assert "SynFlow" not in str(caught[0].message)


def test_as_an_error_it_leaves_the_model_as_it_was() -> None:
    model = chain()
    before = fingerprint(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", prune.EmptiedLayersWarning)
        with pytest.raises(prune.EmptiedLayersWarning):
            prune.global_iterative_unstructured(model, prune.SynFlow, 0.99, example_inputs=X, iterations=1)
    assert fingerprint(model) == before


def test_nothing_is_said_where_nothing_is_emptied_or_that_was_asked_for() -> None:
    model = chain()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.9, example_inputs=X)
        densities = {"0.weight": 0.0, "2.weight": 0.5, "4.weight": 0.5, "6.weight": 0.5}
        params = prune.prunable_parameters(chain())
        kept = sum(round(densities[f"{i}.weight"] * params[i // 2][0].weight.numel()) for i in (0, 2, 4, 6))
        total = sum(module.weight.numel() for module, _ in params)
        prune.global_iterative_unstructured(params, prune.L1Unstructured, total - kept, layer_densities=densities)
        prune.global_iterative_unstructured(copy.deepcopy(model), prune.L1Unstructured, 1.0)  # everything
        emptied = chain()
        prune.custom_from_mask(emptied[2], "weight", torch.zeros(5, 60))
        prune.global_iterative_unstructured(emptied, prune.L1Unstructured, 0.1)  # which was empty before
