"""A bound class carries its model, and finds the parameters that it is given by their values."""

from __future__ import annotations

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import nn

from tests.small_conv_net import X, masks, net
from torch_synflow import SynFlow, prune


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
    with pytest.raises(ValueError, match=r"match several of.*pass parameters= to bind"):
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


def test_a_bound_class_scores_with_what_it_is_bound_to() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    data, loss_fn = (torch.rand(9, 4), torch.arange(9) % 3), nn.functional.cross_entropy
    expected = prune.SNIP.scores(model, data=data, loss_fn=loss_fn)
    bound = prune.SNIP.bind(model, data=data, loss_fn=loss_fn)
    for scores in (bound.scores(), bound.scores(model), bound.scores(model, [(model[2], "weight")])):
        assert scores
        assert all(torch.equal(score, expected[pair]) for pair, score in scores.items())
    other = bound.scores(data=(data[0] + 1, data[1]))  # what is given goes before what is bound
    assert not torch.equal(other[model[0], "weight"], expected[model[0], "weight"])
    with pytest.raises(ValueError, match="SNIPUnstructured needs model and data and loss_fn"):
        prune.SNIP.scores()
