"""A model that is not pruned takes the state of one that is."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from tests.cases import MODELS, ModelCase
from tests.compact.pruned import TOKENS, TiedNet, pruned, pruned_tied
from tests.small_net import Net, X, refuses
from torch_synflow import prune


@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
def test_a_fresh_model_takes_the_state_of_a_pruned_one(case: ModelCase) -> None:
    model, fresh = case.build(), case.build()
    prune.global_iterative_unstructured(prune.prunable_parameters(model), prune.L1Unstructured, 0.5)
    with torch.no_grad():
        for tensor in [*fresh.parameters(), *(b for b in fresh.buffers() if b.is_floating_point())]:
            tensor.fill_(0.5)
    held = [id(parameter) for parameter in fresh.parameters()]
    stored = io.BytesIO()
    inner = model.module if isinstance(model, nn.DataParallel) else model
    torch.save(inner.state_dict(), stored)
    stored.seek(0)
    prune.load_pruned(fresh, torch.load(stored, weights_only=True))
    assert [id(parameter) for parameter in fresh.parameters()] == held
    assert prune.masks(fresh).keys() == prune.masks(model).keys()
    assert all(torch.equal(tensor, fresh.state_dict()[name]) for name, tensor in model.state_dict().items())
    ours, theirs = (case.outputs(case.runnable(each).eval()) for each in (fresh, model))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_roots_own_parameter_and_tied_tensors_are_loaded() -> None:
    model, fresh = pruned_tied(), TiedNet()
    with torch.no_grad():
        fresh.scale.zero_()
    prune.load_pruned(fresh, model.state_dict())
    assert torch.equal(fresh(TOKENS), model(TOKENS))
    assert fresh.head.weight_orig is fresh.embed.weight_orig
    linear, single = nn.Linear(4, 2), nn.Linear(4, 2)
    torch_prune.l1_unstructured(linear, "weight", 5)
    prune.load_pruned(single, linear.state_dict())
    assert list(single.state_dict()) == ["weight_orig", "bias", "weight_mask"]
    assert torch.equal(single.weight, linear.weight)


def test_a_dense_state_loads_into_a_dense_model_as_ever() -> None:
    model, fresh = Net(), Net()
    with torch.no_grad():
        model[0].weight.add_(1)
    prune.load_pruned(fresh, model.state_dict())
    assert not prune.is_pruned(fresh)
    assert torch.equal(fresh.eval()(X), model.eval()(X))


def test_a_pruned_model_takes_the_masks_of_the_state() -> None:
    model, other = pruned(0.6), pruned(0.3)
    prune.load_pruned(other, model.state_dict())
    assert all(torch.equal(mask, prune.masks(other)[name]) for name, mask in prune.masks(model).items())
    assert torch.equal(other[0].weight, model[0].weight)


def test_an_optimiser_made_before_goes_on() -> None:
    model, fresh = pruned(), Net()
    optimizer = torch.optim.SGD(fresh.parameters(), 0.1)
    prune.load_pruned(fresh, model.state_dict())
    before = fresh[0].weight_orig.detach().clone()
    fresh(X).square().sum().backward()
    optimizer.step()
    kept = fresh[0].weight_mask != 0
    assert torch.equal(fresh[0].weight_orig != before, kept & (fresh[0].weight_orig.grad != 0))


def test_a_model_of_another_dtype_keeps_it() -> None:
    fresh = Net().bfloat16()
    prune.load_pruned(fresh, pruned().state_dict())
    assert fresh[0].weight_mask.dtype == fresh[0].weight.dtype == torch.bfloat16


def changed(**changes: Any) -> dict[str, Any]:
    """The state of a pruned network with some tensors replaced, or left out where ``None``."""
    state = {**pruned().state_dict(), **{name.replace("__", "."): value for name, value in changes.items()}}
    return {name: value for name, value in state.items() if value is not None}


BAD = [
    ([1], TypeError, "state: expected a state_dict, got list"),
    (changed(**{"0__bias": None}), ValueError, r"state: expected that of a Net.*Missing key.*0\.bias"),
    (changed(extra=torch.ones(1)), ValueError, r"Unexpected key.*extra"),
    (changed(**{"3__bias": torch.ones(9)}), ValueError, r"size mismatch for 3\.bias"),
    (changed(**{"0__weight_mask": torch.ones(2, 2)}), ValueError, r"0\.weight_mask: expected a mask of shape \(7, 5\)"),
    (changed(**{"0__weight_mask": 3}), ValueError, r"0\.weight_mask: expected a mask of shape \(7, 5\), got int"),
    (changed(**{"0__weight_mask": None}), ValueError, r"Missing key.*Unexpected key"),
    (
        changed(**{"9__weight_mask": torch.ones(1), "9__weight_orig": torch.ones(1)}),
        ValueError,
        r"a mask of 9\.weight, which the model does not have",
    ),
    ({f"module.{k}": v for k, v in pruned().state_dict().items()}, ValueError, r"all its names begin with 'module\.'"),
]


@pytest.mark.parametrize(("state", "error", "message"), BAD)
def test_a_state_that_does_not_fit_is_refused_and_nothing_changes(
    state: Any, error: type[Exception], message: str
) -> None:
    model = Net()
    refuses(error, f"(?s){message}", model, lambda: prune.load_pruned(model, state))


def test_a_dense_state_is_refused_where_the_model_is_pruned() -> None:
    model = pruned()
    message = r"0\.weight: expected a state in which this parameter is pruned.*prune\.remove_all"
    refuses(ValueError, message, model, lambda: prune.load_pruned(model, Net().state_dict()))


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_in_the_midst_of_loading_leaves_values_and_hooks(failure: type[BaseException]) -> None:
    class Fails(nn.Linear):
        def _load_from_state_dict(self, *_: Any) -> None:
            raise failure("on purpose")

    model = nn.Sequential(nn.Linear(5, 7), Fails(7, 3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3))
    prune.global_iterative_unstructured(other, prune.L1Unstructured, 0.5)
    with pytest.raises((ValueError, KeyboardInterrupt), match="on purpose"):
        prune.load_pruned(model, other.state_dict())
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not prune.is_pruned(model)


def test_a_buffer_called_mask_that_is_none_of_pruning_is_left_alone() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)
            self.causal_mask: Tensor
            self.register_buffer("causal_mask", torch.tril(torch.ones(3, 3)))

    model, fresh = Attention(), Attention()
    torch_prune.l1_unstructured(model.fc, "weight", 3)
    prune.load_pruned(fresh, model.state_dict())
    assert list(prune.masks(fresh)) == ["fc.weight"]
