"""``torch_synflow.prune`` as a drop-in for ``torch.nn.utils.prune``, and the lines of the documentation."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import nn

import torch_synflow
from torch_synflow import SynFlow, prune


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def masks(model: nn.Module) -> list[torch.Tensor]:
    return [m.weight_mask for m in model.modules() if hasattr(m, "weight_mask")]


X = torch.rand(2, 1, 4, 4)


def test_every_name_of_torchs_module_is_answered_with_the_same_object() -> None:
    names = [name for name in vars(torch_prune) if not (name.startswith("__") and name.endswith("__"))]
    assert "_compute_nparams_toprune" in names
    for name in names:
        assert getattr(prune, name) is getattr(torch_prune, name), name
    assert set(names) <= set(dir(prune))


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


def test_a_bound_class_works_with_torchs_global_unstructured() -> None:
    for method, needs in (
        (prune.SynFlow, {"example_inputs": X}),
        (prune.SNIP, {"data": (X, torch.tensor([0, 2])), "loss_fn": nn.functional.cross_entropy}),
        (prune.GraSP, {"data": iter([(X, torch.tensor([0, 2]))]), "loss_fn": nn.functional.cross_entropy}),
    ):
        model, other = net().eval(), net().eval()
        bound = method.bind(model, **needs)
        assert issubclass(bound, method)
        assert bound.__name__ == method.__name__
        for amount in (0.5, 10, 0.3):
            listed = [(model[4], "weight"), (model[0], "weight")]
            scores = bound.scores(
                model, listed, **{k: v for k, v in needs.items() if k != "data"} | {"data": bound._task.data}
            )
            torch_prune.global_unstructured(listed, bound, amount=amount)
            mirrored = {(other[int(list(model).index(m))], n): s for (m, n), s in scores.items()}
            torch_prune.global_unstructured(
                [(other[4], "weight"), (other[0], "weight")], method, importance_scores=mirrored, amount=amount
            )
            assert all(torch.equal(a, b) for a, b in zip(masks(model), masks(other), strict=True))
            with torch.no_grad():  # the product in module.weight is stale until the next forward
                model[4].weight_orig.mul_(-2.0)
                other[4].weight_orig.mul_(-2.0)


def test_a_bound_class_finds_the_parameters_by_their_values_or_asks() -> None:
    model = net()
    everything = [(m, n) for m in model.modules() for n in ("weight", "bias") if getattr(m, n, None) is not None]
    bound = SynFlow.bind(model, example_inputs=X)
    nn.init.zeros_(model[0].bias)  # now two parameters of four zeros: this one and BatchNorm's
    with pytest.raises(ValueError, match=r"match several of.*bind with parameters="):
        torch_prune.global_unstructured(everything, bound, amount=0.5)
    with pytest.raises(ValueError, match="match none of"):
        torch_prune.global_unstructured([(nn.Linear(3, 3), "weight")], bound, amount=0.5)
    assert not torch_prune.is_pruned(model)
    weights = [(model[0], "weight"), (model[1], "weight"), (model[4], "weight"), (model[4], "bias")]
    torch_prune.global_unstructured(weights, SynFlow.bind(model, example_inputs=X, parameters=weights), amount=0.5)
    assert sum(int(getattr(m, f"{n}_mask").sum()) for m, n in weights) == 91 - round(0.5 * 91)


def test_a_bound_class_prunes_one_module() -> None:
    model, other = net(), net()
    hook = SynFlow.bind(model, example_inputs=X).apply(model[4], "weight", 0.5)
    assert type(hook) is prune.SynFlowUnstructured  # and not the class that carries the model
    prune.synflow_unstructured(other[4], "weight", 0.5, model=other, example_inputs=X)
    assert torch.equal(model[4].weight_mask, other[4].weight_mask)


def test_binding_without_what_the_method_needs() -> None:
    for method in (prune.SynFlow, prune.SNIP, prune.GraSP):
        with pytest.raises(ValueError, match=r"needs .*got none"):
            method.bind(net())


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
