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


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int = 5) -> None:
    torch.manual_seed(1)
    for _ in range(count):
        optimizer.zero_grad()
        model(torch.rand(8, 3, 8, 8)).square().sum().mul(1e-3).backward()
        optimizer.step()


@pytest.mark.parametrize("kind", ["mlp", "tied"])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
def test_an_optimiser_trains_what_is_kept_to_the_bits_of_training_with_hooks(kind: str, optimizer: Any) -> None:
    ours, hooks = pruned(kind), pruned(kind)
    with prune.folded(ours, first := optimizer(ours.parameters(), lr=0.01, weight_decay=0.1)):
        steps(ours, first)
        for module, _ in prune.prunable_parameters(ours):
            assert bool((module.weight == 0).any())
    steps(hooks, optimizer(hooks.parameters(), lr=0.01, weight_decay=0.1))
    prune.detach(hooks)
    for (module, _), (other, _) in zip(prune.prunable_parameters(ours), prune.prunable_parameters(hooks), strict=True):
        assert torch.equal(module.weight, other.weight)
        assert not bool(module.weight_orig[module.weight_mask == 0].any())


def test_a_norm_over_all_gradients_counts_what_is_pruned_until_its_gradients_are_masked() -> None:
    def gradients(model: nn.Module) -> list[nn.Parameter]:
        torch.manual_seed(1)
        model(torch.rand(8, 3, 8, 8)).square().sum().backward()
        return list(model.parameters())

    hooks, ours = pruned("mlp"), pruned("mlp")
    expected = nn.utils.clip_grad_norm_(gradients(hooks), 1e9)
    masks = prune.masks(ours)
    with prune.folded(ours):
        parameters = gradients(ours)
        assert nn.utils.clip_grad_norm_(parameters, 1e9) > expected * 1.001
        for name, mask in masks.items():
            grad = ours.get_parameter(name).grad
            assert grad is not None
            grad.mul_(mask)
        torch.testing.assert_close(nn.utils.clip_grad_norm_(parameters, 1e9), expected)


def test_the_optimiser_is_left_without_a_hook() -> None:
    model = pruned("mlp")
    first, second = (torch.optim.SGD(model.parameters(), 0.1) for _ in range(2))
    with prune.folded(model, first, second):
        steps(model, second, 1)
        assert all(bool((m.weight == 0).any()) for m, _ in prune.prunable_parameters(model))
    before = [m.weight_mask.clone() for m, _ in prune.prunable_parameters(model)]
    prune.remove_all(model)
    steps(model, first, 1)  # of a dense model now: what was pruned is trained
    for (module, _), mask in zip(prune.prunable_parameters(model), before, strict=True):
        assert bool(module.weight[mask == 0].any())


def test_pruned_further_inside_it_has_both_masks_afterwards() -> None:
    model = pruned("mlp")
    before = prune.masks(model)
    with prune.folded(model):
        prune.random_unstructured(prune.prunable_parameters(model)[0][0], "weight", 0.5)
        inside = prune.masks(model)
    after = prune.masks(model)
    (name,) = inside
    assert torch.equal(after[name], inside[name] & before[name])
    assert after.keys() == before.keys()


def test_recurrent_layers_train_what_is_kept() -> None:
    model = nn.LSTM(3, 4)
    prune.l1_unstructured(model, "weight_hh_l0", 0.5)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before = model.weight_hh_l0.clone()
    with prune.folded(model, optimizer):
        model(torch.rand(5, 2, 3))[0].sum().backward()
        optimizer.step()
    assert torch.equal(model.weight_hh_l0 != before, model.weight_hh_l0_mask != 0)
    with torch.no_grad():
        model.weight_hh_l0_orig.zero_()
    x = torch.rand(5, 2, 3)
    first, _ = model(x)
    assert torch.equal(first, model(x)[0])
    assert not bool(model.weight_hh_l0.any())


@pytest.mark.parametrize("arguments", [(nn.Linear(2, 2), "sgd"), ("model",)])
def test_folded_names_wrong_arguments(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"(optimizers|model): expected"), prune.folded(*arguments):
        pass


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_on_the_way_in_leaves_the_model_pruned(failure: type[BaseException]) -> None:
    class Fails(nn.Linear):
        def __setattr__(self, name: str, value: Any) -> None:
            if isinstance(value, nn.Parameter) and "weight_u" in self.__dict__:
                raise failure("on purpose")
            super().__setattr__(name, value)

    model = nn.Sequential(nn.Linear(3, 4), Fails(4, 2))
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    model[1].weight_u = 1
    before = pruning_of(model)
    with pytest.raises(failure, match="on purpose"), prune.folded(model):
        pass
    assert pruning_of(model) == before
