"""``torch_synflow.prune`` as a drop-in for ``torch.nn.utils.prune``, and the lines of the documentation."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import nn

import torch_synflow
from tests.small_conv_net import X, masks, net
from torch_synflow import SynFlow, ablations, diagnostics, flow, parallel, prune, rewinding


def test_every_name_of_torchs_module_is_answered_with_the_same_object() -> None:
    names = [name for name in vars(torch_prune) if not (name.startswith("__") and name.endswith("__"))]
    assert "_compute_nparams_toprune" in names
    for name in names:
        assert getattr(prune, name) is getattr(torch_prune, name), name


def test_tab_completion_shows_public_names_alone() -> None:
    shown = dir(prune)
    assert {"global_unstructured", "BasePruningMethod", "SynFlow", "global_iterative_unstructured"} <= set(shown)
    assert [name for name in shown if name.startswith("_")] == []
    modules = {"torch", "numbers", "annotations", "TYPE_CHECKING", "Any", "ABC", "Iterable", "abstractmethod"}
    assert modules & set(shown) == set()
    own = {name for name in torch_synflow.prune.__all__ if name not in vars(torch_prune)}
    assert own <= set(shown)


@pytest.mark.parametrize("package", [prune, ablations, diagnostics, flow, parallel, rewinding])
def test_public_functions_have_types_instead_of_any(package: Any) -> None:
    functions = [getattr(package, name) for name in dir(package)]
    ours = [f for f in functions if inspect.isfunction(f) and f.__module__.startswith("torch_synflow.")]
    assert ours
    bare = {f.__name__: f.__annotations__ for f in ours if {"Any", "Any | None"} & set(f.__annotations__.values())}
    assert bare == {}


def test_star_import_and_from_import_give_torchs_names_too() -> None:
    space: dict[str, Any] = {}
    exec("from torch_synflow.prune import *\nfrom torch_synflow.prune import _validate_pruning_amount", space)
    public = [name for name in vars(torch_prune) if not name.startswith("_")]
    assert all(space[name] is getattr(torch_prune, name) for name in public)
    assert space["SynFlow"] is prune.SynFlowUnstructured
    assert space["_validate_pruning_amount"] is torch_prune._validate_pruning_amount


def test_names_that_do_not_exist_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match=r"torch_synflow\.prune.*no_such_name"):
        _ = prune.no_such_name
    assert importlib.util.find_spec("torch_synflow.no_such_module") is None


def test_every_public_name_exists_once() -> None:
    assert len(prune.__all__) == len(set(prune.__all__))
    assert all(hasattr(prune, name) for name in prune.__all__)
    assert torch_synflow.prune is prune
    assert (prune.SynFlow, prune.SNIP, prune.GraSP) == (
        prune.SynFlowUnstructured,
        prune.SNIPUnstructured,
        prune.GraSPUnstructured,
    )


def test_the_line_of_the_mission_runs_as_written() -> None:
    model, amount = net(), 0.9
    params = prune.prunable_parameters(model, example_inputs=X)
    report = prune.global_iterative_unstructured(params, SynFlow, amount)
    assert report.kept == 84 - round(0.9 * 84)
    model(X).sum().backward()


def test_the_line_of_the_mission_runs_with_a_bound_class_on_a_plain_list() -> None:
    model, other, amount = net(), net(), 0.9
    params = [(m, "weight") for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    Bound = SynFlow.bind(model, example_inputs=X)  # noqa: N806
    prune.global_iterative_unstructured(params, Bound, amount)
    prune.global_iterative_unstructured(other, SynFlow, amount, example_inputs=X)
    assert all(torch.equal(a, b) for a, b in zip(masks(model), masks(other), strict=True))


def test_prunable_parameters_are_a_list_that_remembers() -> None:
    model = net()
    params = prune.prunable_parameters(model, example_inputs=X)
    assert isinstance(params, list)
    assert params == [(model[0], "weight"), (model[4], "weight")]
    assert params.model is model
    assert params.example_inputs is X
    with pytest.raises(TypeError, match=r"model: expected an nn\.Module, got list"):
        prune.prunable_parameters([model])  # type: ignore[arg-type]


def test_a_users_own_method_is_one_function() -> None:
    class Magnitude(prune.SaliencyUnstructured):
        needs = ()

        @classmethod
        def saliency(cls, network: Any) -> dict[str, torch.Tensor]:
            return {name: weight.abs() for name, weight in network.weights.items()}

    model, other = net(), net()
    prune.global_iterative_unstructured(model, Magnitude, 0.7, iterations=3)
    prune.global_iterative_unstructured(other, prune.L1Unstructured, 0.7)
    assert all(torch.equal(a, b) for a, b in zip(masks(model), masks(other), strict=True))
    with pytest.raises(NotImplementedError, match=r"must define saliency\(network\)"):
        prune.global_iterative_unstructured(net(), prune.SaliencyUnstructured, 0.5, data=(X, X), loss_fn=print)


def test_the_base_methods_prune_ranks_given_scores() -> None:
    weights = torch.tensor([5.0, 4.0, 3.0])
    scores = torch.tensor([1.0, 3.0, 2.0]).as_subclass(prune.Scores)
    assert prune.SynFlow(1).prune(weights, importance_scores=scores).tolist() == [0.0, 4.0, 3.0]
    mask = torch.tensor([1.0, 0.0, 1.0])
    assert prune.SynFlow(1).prune(weights, default_mask=mask, importance_scores=scores).tolist() == [0.0, 0.0, 3.0]
