"""A model that accepts the states of pruned models, whoever calls its ``load_state_dict``."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.compact.pruned import TOKENS, TiedNet, pruned_tied
from tests.small_net import Net, X
from torch_synflow import prune
from torch_synflow.compact.accepting import accepts_pruned


def pruned_net() -> Any:
    model = Net().eval()
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=X)
    return model


def copied(model: nn.Module) -> Any:
    return copy.deepcopy(model)


def pickled(model: nn.Module) -> Any:
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("made", [lambda model: model, copied, pickled], ids=["itself", "copied", "pickled"])
def test_load_state_dict_takes_the_state_of_a_pruned_model(made: Any) -> None:
    model, fresh = pruned_net(), Net().eval()
    with torch.no_grad():
        fresh[0].weight.fill_(0.5)
    prune.accept_pruned(fresh)
    fresh = made(fresh)
    held = [id(parameter) for parameter in fresh.parameters()]
    fresh.load_state_dict(model.state_dict())
    assert [id(parameter) for parameter in fresh.parameters()] == held
    assert all(torch.equal(tensor, fresh.state_dict()[name]) for name, tensor in model.state_dict().items())
    for module, other in zip(fresh, model, strict=True):  # before any forward pass
        assert not prune.masks(other) or torch.equal(module.weight, other.weight)
    assert torch.equal(fresh(X), model(X))


def test_tied_tensors_and_a_module_within_another() -> None:
    model, fresh = pruned_tied(), TiedNet()
    prune.accept_pruned(fresh)
    around = nn.ModuleDict({"first": nn.Linear(2, 2), "net": fresh})
    state = {f"net.{name}": tensor for name, tensor in model.state_dict().items()}
    around.load_state_dict(state | {f"first.{name}": p for name, p in nn.Linear(2, 2).state_dict().items()})
    assert torch.equal(fresh(TOKENS), model(TOKENS))
    assert fresh.head.weight_orig is fresh.embed.weight_orig


def test_a_dense_state_and_one_of_other_masks_load_as_ever() -> None:
    fresh, dense, model = Net(), Net().state_dict(), pruned_net()
    prune.accept_pruned(fresh)
    fresh.load_state_dict(dense)
    assert not prune.is_pruned(fresh)
    fresh.load_state_dict(model.state_dict())
    model[0].weight_mask.zero_()
    fresh.load_state_dict(model.state_dict())
    assert int(prune.masks(fresh)["0.weight"].sum()) == 0


def test_what_is_wrong_with_a_state_is_torchs_to_say_or_names_the_mask() -> None:
    fresh, state = Net(), pruned_net().state_dict()
    prune.accept_pruned(fresh)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*other\.weight_mask"):
        fresh.load_state_dict(state | {"other.weight_orig": torch.ones(1), "other.weight_mask": torch.ones(1)})
    wrong: dict[str, Tensor] = {"0.weight_orig": torch.ones(1), "0.weight_mask": torch.ones(1)}
    other = Net()
    prune.accept_pruned(other)
    with pytest.raises(ValueError, match=r"0\.weight_mask: expected a mask of shape"):
        other.load_state_dict(state | wrong)
    assert not prune.is_pruned(other)


def test_the_handle_undoes_it() -> None:
    fresh = Net()
    handle = prune.accept_pruned(fresh)
    assert accepts_pruned(fresh)
    handle.remove()
    assert not accepts_pruned(fresh)
    with pytest.raises(RuntimeError, match="Missing key"):
        fresh.load_state_dict(pruned_net().state_dict())
    with pytest.raises(TypeError, match=r"model: expected an nn\.Module, got int"):
        prune.accept_pruned(3)  # type: ignore[arg-type]
