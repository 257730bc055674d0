"""Masks on a model are torch's own: pruned again, removed, saved, copied."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from tests.small_net import BATCH, Net, X, kept, weights
from torch_synflow import SNIP, GraSP, SynFlow, prune


@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP])
def test_re_pruning_by_us_after_torch_and_by_torch_after_us(method: Any) -> None:
    model = Net()
    prune.l1_unstructured(model[0], "weight", 5)
    first = model[0].weight_mask.clone()
    report = prune.global_iterative_unstructured(model, method, 0.5, example_inputs=X, **BATCH)
    assert report.kept == kept(model) == 51 - round(0.5 * 51)
    second = model[0].weight_mask.clone()
    assert (second <= first).all()
    torch.nn.utils.prune.global_unstructured(weights(model), prune.L1Unstructured, amount=6)
    assert kept(model) == report.kept - 6
    assert (model[0].weight_mask <= second).all()
    prune.random_structured(model[0], "weight", 1, dim=0)
    again = prune.global_iterative_unstructured(model, method, 3, example_inputs=X, **BATCH)
    assert again.kept == kept(model)
    model(X).sum().backward()


def test_masks_are_not_piled_up_by_iterations() -> None:
    model = Net()
    prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X)
    (hook,) = model[0]._forward_pre_hooks.values()
    assert isinstance(hook, prune.CustomFromMask)
    assert hook.mask is model[0].weight_mask


def test_remove_makes_pruning_permanent() -> None:
    model = Net()
    prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X)
    original, mask = model[0].weight_orig, model[0].weight_mask
    expected = original.detach() * mask
    prune.remove(model[0], "weight")
    assert torch.equal(model[0].weight, expected)
    assert model[0].weight is original
    assert not model[0]._forward_pre_hooks
    assert sorted(dict(model[0].named_parameters())) == ["bias", "weight"]


def test_state_dict_round_trip() -> None:
    model, other = Net(), Net()
    prune.global_iterative_unstructured(model, SynFlow, 0.9, example_inputs=X)
    stored = io.BytesIO()
    torch.save(model.state_dict(), stored)
    stored.seek(0)
    for index in (0, 3):
        prune.identity(other[index], "weight")
    other.load_state_dict(torch.load(stored, weights_only=True))
    assert torch.equal(other.eval()(X), model.eval()(X))


@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP, prune.L1Unstructured])
def test_pickle_and_deepcopy_straight_after(method: Any) -> None:
    model = Net()
    prune.global_iterative_unstructured(model, method, 0.5, example_inputs=X, **BATCH)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin.eval()(X), model.eval()(X))
        assert twin[0].weight_orig is not model[0].weight_orig


def test_channels_last_is_kept() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).to(memory_format=torch.channels_last)
    x = torch.rand(2, 3, 8, 8).to(memory_format=torch.channels_last)
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    for amount in (0.5, 0.5):
        prune.global_iterative_unstructured(model, SynFlow, amount, example_inputs=x)
        prune.global_iterative_unstructured(plain, SynFlow, amount, example_inputs=x)
        prune.synflow_unstructured(model[0], "weight", 4, model=model, example_inputs=x)
        prune.synflow_unstructured(plain[0], "weight", 4, model=plain, example_inputs=x)
        for index in (0, 2):
            for name in ("weight_mask", "weight_orig", "weight"):
                assert getattr(model[index], name).is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(model[index].weight_mask, plain[index].weight_mask)


def test_deepcopy_after_a_forward_pass_without_gradients() -> None:
    """As the guide says: a pass with gradients puts a product into ``module.weight`` that cannot be copied."""
    model = Net()
    prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X)
    model(X)
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(model)
    with torch.no_grad():
        model.eval()(X)
    assert torch.equal(copy.deepcopy(model)(X), model(X))


@pytest.mark.parametrize("prune_layer", [prune.synflow_unstructured, None])
def test_name_orig_has_the_place_of_name(prune_layer: Any) -> None:
    model = Net()
    before = [id(parameter) for parameter in model.parameters()]
    if prune_layer is None:
        prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X)
    else:
        prune_layer(model[0], "weight", 4, model=model, example_inputs=X)
    assert [id(parameter) for parameter in model.parameters()] == before
    assert list(model[0]._parameters) == ["weight_orig", "bias"]


def test_state_of_an_optimiser_and_an_average_from_before_pruning_go_on_after_it() -> None:
    model = Net()
    before = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    with torch.no_grad():
        model(X)
    for parameter in model.parameters():
        parameter.grad = torch.rand_like(parameter)
    before.step()
    average = torch.optim.swa_utils.AveragedModel(model)
    moments = [before.state[parameter]["momentum_buffer"] for parameter in model.parameters()]
    prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X)
    after = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    after.load_state_dict(before.state_dict())
    for parameter, moment in zip(model.parameters(), moments, strict=True):
        assert torch.equal(after.state[parameter]["momentum_buffer"], moment)
    prune.apply_masks(average.module, prune.masks(model))  # for the sake of BatchNorm's buffers: masks are such too
    average.update_parameters(model)  # the first takes over the values
    for mean, tensor in zip(average.module.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(mean, tensor)


def test_a_failure_puts_the_order_back() -> None:
    class Fails(nn.Linear):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "weight" and not isinstance(value, nn.Parameter) and "weight_mask" in self._buffers:
                raise RuntimeError("on purpose")
            super().__setattr__(name, value)

    model = nn.Sequential(Fails(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(RuntimeError, match="on purpose"):
        prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    assert list(model[0]._parameters) == ["weight", "bias"]
    assert not prune.is_pruned(model)
