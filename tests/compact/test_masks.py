"""Masks by name: read, put on another model, put on again, refused by name."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import nn

from tests.compact.pruned import TOKENS, TiedNet, pruned, pruned_tied
from tests.contract.runs import structure
from tests.small_net import Net, X, refuses
from torch_synflow import prune


def test_masks_are_boolean_copies_by_qualified_name() -> None:
    model = pruned()
    found = prune.masks(model)
    assert list(found) == ["0.weight", "3.weight"]
    assert all(mask.dtype == torch.bool for mask in found.values())
    assert torch.equal(found["0.weight"], model[0].weight_mask != 0)
    found["0.weight"].zero_()
    assert bool(model[0].weight_mask.any())
    assert prune.masks(Net()) == {}
    assert list(prune.masks(pruned_tied())) == ["scale", "embed.weight", "head.weight"]


def test_masks_of_a_wrapped_and_of_a_compiled_model_have_the_names_of_the_model_inside() -> None:
    model = pruned()
    for wrapped in (nn.DataParallel(model), torch.compile(model)):
        assert list(prune.masks(wrapped)) == ["0.weight", "3.weight"]
        fresh = Net()
        prune.apply_masks(type(wrapped)(fresh) if isinstance(wrapped, nn.DataParallel) else fresh, prune.masks(wrapped))
        assert torch.equal(fresh[0].weight_mask, model[0].weight_mask)


def test_applied_masks_leave_what_pruning_leaves() -> None:
    model, other = pruned(), Net()
    held = {name: id(parameter) for name, parameter in other.named_parameters()}
    prune.apply_masks(other, prune.masks(model))
    assert structure(other) == structure(model)
    assert list(other[0]._parameters) == ["weight_orig", "bias"]
    assert {name.removesuffix("_orig"): id(p) for name, p in other.named_parameters()} == held
    assert torch.equal(other.eval()(X), model.eval()(X))
    (hook,) = other[0]._forward_pre_hooks.values()
    assert isinstance(hook, torch_prune.CustomFromMask)
    assert hook.mask is other[0].weight_mask


def test_masks_tighten_and_the_same_mask_again_leaves_no_second_trace() -> None:
    model = pruned()
    first = prune.masks(model)
    prune.apply_masks(model, first)
    assert structure(model) == structure(pruned())
    other = {"0.weight": torch.rand(7, 5) > 0.5}
    prune.apply_masks(model, other)
    assert torch.equal(prune.masks(model)["0.weight"], first["0.weight"] & other["0.weight"])
    assert torch.equal(prune.masks(model)["3.weight"], first["3.weight"])
    assert torch.equal(model[0].weight, model[0].weight_orig * model[0].weight_mask)
    assert len(model[0]._forward_pre_hooks) == 1


@pytest.mark.parametrize("name", ["embed.weight", "head.weight"])
def test_a_tied_tensor_gets_its_mask_in_all_places(name: str) -> None:
    model = TiedNet()
    mask = torch.rand(11, 6) > 0.5
    prune.apply_masks(model, {name: mask, "scale": torch.eye(6)})
    assert model.head.weight_orig is model.embed.weight_orig
    assert torch.equal(model.embed.weight_mask, mask.float())
    assert torch.equal(model.head.weight_mask, mask.float())
    model(TOKENS).sum().backward()
    assert model.scale_orig.grad is not None
    assert torch.equal(model.scale_orig.grad != 0, torch.eye(6) != 0)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float64, torch.bfloat16])
def test_masks_of_any_dtype(dtype: torch.dtype) -> None:
    model = Net().bfloat16()
    mask = (torch.rand(7, 5) > 0.5).to(dtype)
    prune.apply_masks(model, {"0.weight": mask})
    assert model[0].weight_mask.dtype == torch.bfloat16
    assert torch.equal(model[0].weight_mask != 0, mask != 0)


GOOD = torch.ones(7, 5)
BAD: list[tuple[Any, type[Exception], str]] = [
    ([GOOD], TypeError, "masks: expected a mapping from names to masks.*got list"),
    ({"0.wieght": GOOD}, ValueError, r"got '0\.wieght', which does not exist; the nearest is '0\.weight'"),
    ({"0": GOOD}, ValueError, "got '0', which does not exist"),
    ({3: GOOD}, ValueError, "got 3, which does not exist"),
    ({"2.weight": GOOD}, ValueError, "got '2.weight', which does not exist"),
    ({"3.weight": GOOD}, ValueError, r"3\.weight: expected a mask of shape \(3, 7\).*got \(7, 5\)"),
    ({"0.weight": [1, 0]}, TypeError, r"0\.weight: expected a mask tensor, got list"),
    ({"0.weight": GOOD / 2}, ValueError, r"0\.weight: expected a mask of zeros and ones"),
    ({"0.weight": GOOD * torch.nan}, ValueError, r"0\.weight: expected a mask of zeros and ones"),
    ({"0.weight": -GOOD}, ValueError, r"0\.weight: expected a mask of zeros and ones"),
]


@pytest.mark.parametrize("start", [Net, pruned])
@pytest.mark.parametrize(("masks", "error", "message"), BAD)
def test_masks_that_do_not_fit_are_refused_by_name_and_nothing_changes(
    start: Any, masks: Any, error: type[Exception], message: str
) -> None:
    model = start()
    if isinstance(masks, dict):
        masks = {"0.bias": torch.zeros(7), **masks}  # one that would do comes first
    refuses(error, message, model, lambda: prune.apply_masks(model, masks))


def test_two_masks_of_one_tied_tensor_are_refused() -> None:
    model = TiedNet()
    masks = {"embed.weight": torch.ones(11, 6), "head.weight": torch.zeros(11, 6)}
    message = r"head\.weight: expected the mask of embed\.weight, which is the same tensor"
    refuses(ValueError, message, model, lambda: prune.apply_masks(model, masks))


def test_a_mask_of_fractions_is_refused() -> None:
    model = pruned()
    model[0].weight_mask.mul_(0.5)
    refuses(ValueError, r"0\.weight_mask: expected zeros and ones", model, lambda: prune.masks(model))
    refuses(
        ValueError,
        r"0\.weight: expected a tensor whose mask is of zeros and ones",
        model,
        lambda: prune.apply_masks(model, {"0.weight": GOOD}),
    )


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_at_the_second_tensor_leaves_the_first_as_it_was(failure: type[BaseException]) -> None:
    class Stubborn(nn.Linear):
        def register_forward_pre_hook(self, *_: Any, **__: Any) -> Any:
            raise failure("on purpose")

    model = nn.Sequential(nn.Linear(5, 7), Stubborn(7, 3))
    with pytest.raises((failure, KeyError)):  # torch's own undoing fails with a KeyError
        prune.apply_masks(model, {"0.weight": GOOD, "1.weight": torch.ones(3, 7)})
    assert not prune.is_pruned(model)
    assert [list(module._parameters) for module in model] == [["weight", "bias"]] * 2


@pytest.mark.parametrize("call", [prune.masks, prune.remove_all, prune.detach, lambda m: prune.apply_masks(m, {})])
def test_what_is_no_module_is_refused(call: Any) -> None:
    with pytest.raises(TypeError, match=re.escape("model: expected an nn.Module, got dict")):
        call({})
