"""After training without pruning hooks, and where it fails, the model is back as it was pruned."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.training.loop import train
from tests.benchmarks.training.pruned_networks import RECIPES, data, network, pruned, pruning_of
from torch_synflow import prune
from torch_synflow.model.masks import pruned_parameters


def assert_usable(model: nn.Module) -> None:
    """Products are up to date and have no graph, hooks make new ones, and the model can be pruned further."""
    for module, name in pruned_parameters(model):
        weight, mask, held = (getattr(module, f"{name}{kind}") for kind in ("", "_mask", "_orig"))
        assert torch.equal(weight, held * mask)
        assert not held[mask == 0].any()
    copy.deepcopy(model)
    before = sum(int(m.weight_mask.sum()) for m, _ in prune.prunable_parameters(model))
    report = prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    assert report.kept == before - round(before * 0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1)
    model(torch.zeros(2, 3, 8, 8))
    for module, name in pruned_parameters(model):
        assert torch.equal(getattr(module, name), getattr(module, f"{name}_mask"))


@pytest.mark.parametrize("kind", ["mlp", "batchnorm"])
def test_afterwards_masks_hooks_and_parameters_are_those_of_before(kind: str) -> None:
    model = pruned(kind)
    prune.l1_unstructured(prune.prunable_parameters(model)[0][0], "weight", 0.1)  # a container of two methods
    before = pruning_of(model)
    train(model, data(), RECIPES["all"], 7, test=data())
    assert pruning_of(model) == before
    assert_usable(model)


@pytest.mark.parametrize("where", ["forward", "then"])
def test_they_are_back_when_training_fails(where: str) -> None:
    model, calls = pruned("mlp"), []
    before = pruning_of(model)

    def fail(*_: Any) -> None:
        calls.append(prune.is_pruned(model))
        if where == "then" or len(calls) == 5:
            raise KeyboardInterrupt

    handle = model.register_forward_hook(fail) if where == "forward" else None
    with pytest.raises(KeyboardInterrupt):
        train(model, data(), RECIPES["all"], 7, at=1, then=fail if where == "then" else None)
    if handle is not None:
        handle.remove()
    assert calls == ([True] if where == "then" else [False] * 5)  # no pruning hook while it trains
    assert pruning_of(model) == before
    assert_usable(model)


def test_inside_a_pruned_network_is_a_plain_one() -> None:
    model, dense = pruned("batchnorm"), network("batchnorm")
    held = {id(p) for p in model.parameters()}
    kept = [module.weight_mask.clone() for module, _ in prune.prunable_parameters(model)]
    with prune.folded(model) as zero:
        assert not prune.is_pruned(model)
        assert sorted(model.state_dict()) == sorted(dense.state_dict())
        assert {id(p) for p in model.parameters()} == held
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(2)
        zero()
        for (module, _), mask in zip(prune.prunable_parameters(model), kept, strict=True):
            assert torch.equal(module.weight, 2 * mask)
            assert isinstance(module.weight, nn.Parameter)
    assert prune.is_pruned(model)
