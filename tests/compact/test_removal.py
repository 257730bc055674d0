"""All pruning made permanent, and brought back by its masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import nn

from tests.cases import MODELS, ModelCase
from tests.compact.pruned import TOKENS, TiedNet, pruned, pruned_tied
from tests.masks import distinct
from tests.small_net import Net, X, refuses
from torch_synflow import prune


@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
def test_outputs_parameters_and_their_order_stay_and_the_masks_bring_the_pruning_back(case: ModelCase) -> None:
    model = case.build()
    parameters = prune.prunable_parameters(model)
    prune.global_iterative_unstructured(parameters, prune.L1Unstructured, 0.5)
    before, masks = case.outputs(case.runnable(model).eval()), prune.masks(model)
    held = [id(parameter) for parameter in model.parameters()]
    storage = [parameter.data_ptr() for parameter in model.parameters()]
    removed = prune.remove_all(model)
    assert not prune.is_pruned(model)
    assert [id(parameter) for parameter in model.parameters()] == held
    assert [parameter.data_ptr() for parameter in model.parameters()] == storage
    torch.testing.assert_close(case.outputs(model), before, rtol=0, atol=0)
    assert removed.keys() == masks.keys()
    assert all(torch.equal(removed[name], masks[name]) for name in masks)
    assert all(type(getattr(*pair)) is nn.Parameter for pair in distinct(model))
    prune.apply_masks(model, removed)
    assert prune.masks(model).keys() == masks.keys()
    assert all(torch.equal(mask, masks[name]) for name, mask in prune.masks(model).items())
    assert [id(parameter) for parameter in model.parameters()] == held
    torch.testing.assert_close(case.outputs(model), before, rtol=0, atol=0)


def test_tied_tensors_and_the_root_are_made_permanent_too() -> None:
    model = pruned_tied()
    before = model(TOKENS)
    removed = prune.remove_all(model)
    assert model.head.weight is model.embed.weight
    assert list(model._parameters) == ["scale"]
    assert sorted(model.state_dict()) == sorted(TiedNet().state_dict())
    assert torch.equal(model(TOKENS), before)
    prune.apply_masks(model, removed)
    assert torch.equal(model(TOKENS), before)
    assert prune.remove_all(TiedNet()) == {}


def test_what_was_pruned_several_times_and_by_structure_is_made_permanent() -> None:
    model = pruned()
    torch_prune.ln_structured(model[0], "weight", amount=1, n=1, dim=0)
    torch_prune.random_unstructured(model[0], "bias", amount=3)
    before = model.eval()(X)
    removed = prune.remove_all(model)
    assert sorted(removed) == ["0.bias", "0.weight", "3.weight"]
    assert torch.equal(model(X), before)
    assert not model[0]._forward_pre_hooks


def test_recurrent_layers_run_on_what_is_left() -> None:
    model = nn.LSTM(3, 4)
    x = torch.rand(5, 2, 3)
    torch_prune.l1_unstructured(model, "weight_hh_l0", 0.5)
    before, _ = model(x)
    prune.remove_all(model)
    assert torch.equal(model(x)[0], before)
    with torch.no_grad():
        model.weight_hh_l0.zero_()
    assert not torch.equal(model(x)[0], before)


@pytest.mark.parametrize("case", ["other mask", "no mask", "fractions"])
def test_what_can_not_be_made_permanent_without_a_change_is_refused(case: str) -> None:
    model = TiedNet()
    torch_prune.l1_unstructured(model.head, "weight", 0.5)
    if case == "other mask":
        torch_prune.random_unstructured(model.embed, "weight", 0.5)
    if case == "fractions":
        prune.apply_masks(model, prune.masks(model))
        model.head.weight_mask.mul_(0.5)
    message = {
        "other mask": r"embed\.weight: .*it is tied to head\.weight, which has another mask",
        "no mask": r"head\.weight: .*it is tied to embed\.weight, which has no mask",
        "fractions": r"weight_mask has other values than zeros and ones",
    }[case]
    refuses(ValueError, message, model, lambda: prune.remove_all(model))


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_on_the_way_leaves_values_and_hooks(failure: type[BaseException]) -> None:
    class Fails(nn.Linear):
        armed = False

        def __setattr__(self, name: str, value: Any) -> None:
            if Fails.armed and isinstance(value, nn.Parameter):
                raise failure("on purpose")
            super().__setattr__(name, value)

    model = nn.Sequential(Net()[0], Fails(7, 3))
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Fails.armed = True
    with pytest.raises(failure, match="on purpose"):
        prune.remove_all(model)
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert prune.is_pruned(model[1])
