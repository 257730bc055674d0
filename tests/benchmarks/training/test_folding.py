"""Training without pruning hooks, as trials train, gives the bits of training with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.training.loop import train
from tests.benchmarks.training.pruned_networks import (
    PLAIN,
    RECIPES,
    Twice,
    assert_same,
    data,
    network,
    pruned,
    pruning_of,
    values,
    with_hooks,
)
from torch_synflow import prune, rewinding
from torch_synflow.model.masks import pruned_parameters


@pytest.mark.parametrize("kind", ["mlp", "batchnorm", "tied"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_kept_is_trained_to_the_bits_of_training_with_hooks(kind: str, recipe: str) -> None:
    ours, hooks, images = pruned(kind), pruned(kind), data()
    assert len(pruned_parameters(ours)) >= 4
    before = values(ours)
    found = train(ours, images, RECIPES[recipe], 7, test=images)
    assert found["history"] == with_hooks(hooks, images, RECIPES[recipe])
    assert_same(ours, hooks)
    after = values(ours)
    assert all(bool((after[name] != before[name]).any()) for name in after if name.endswith("_orig"))  # all is trained


@pytest.mark.parametrize("kind", ["mlp", "batchnorm", "tied"])
@pytest.mark.parametrize("start", ["dense", "pruned"])
@pytest.mark.parametrize("action", ["prune", "rewind"])
def test_it_can_be_pruned_and_rewound_in_the_middle(kind: str, start: str, action: str) -> None:
    images, recipe, seen = data(), RECIPES["all"], []
    models = [network(kind) if start == "dense" else pruned(kind) for _ in range(2)]
    original = rewinding.take_snapshot(network(kind))

    def then(model: nn.Module) -> None:
        seen.append((len(pruned_parameters(model)), prune.is_pruned(model), values(model)))
        if action == "rewind":
            rewinding.rewind(model, original)
        else:
            prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)

    found = train(models[0], images, recipe, 7, at=1.4, then=then, test=images)
    assert found["history"] == with_hooks(models[1], images, recipe, 1.4, then)
    assert_same(*models)
    (count, hooked, state), (expected, _, reference) = seen
    assert count == expected
    assert hooked == (start == "pruned")
    assert [name for name in state if not torch.equal(state[name], reference[name])] == []


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"channels_last": True}])
def test_in_mixed_precision_and_channels_last_too(options: dict[str, Any]) -> None:
    ours, hooks, images, recipe = pruned("batchnorm"), pruned("batchnorm"), data(), replace(RECIPES["all"], **options)
    assert train(ours, images, recipe, 7, test=images)["history"] == with_hooks(hooks, images, recipe)
    assert_same(ours, hooks)


def test_masks_have_the_memory_format_of_the_weights() -> None:
    """Else each step would multiply tensors of different strides, which is slow."""
    model, strides = pruned("batchnorm"), []

    def then(model: nn.Module) -> None:
        convolution = model.get_submodule("3")
        strides.extend(t.stride() for t in (convolution.weight_orig, convolution.weight_mask))  # type: ignore[union-attr]

    train(model, data(), replace(PLAIN, channels_last=True), 7, at=1, then=then)
    assert strides == [torch.empty(8, 8, 3, 3).to(memory_format=torch.channels_last).stride()] * 2


@pytest.mark.parametrize("case", ["soft", "different", "once"])
def test_what_can_not_be_multiplied_in_is_trained_with_its_hooks(case: str) -> None:
    def made() -> nn.Module:
        model = Twice() if case != "soft" else network("mlp")
        torch.manual_seed(1)
        for parameter in model.parameters():
            nn.init.normal_(parameter, 0, 0.1)
        layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
        for layer in layers if case != "once" else layers[1:]:
            prune.random_unstructured(layer, "weight", 0.5)
        if case == "soft":
            layers[0].weight_mask.mul_(0.5)  # type: ignore[operator, union-attr]
        return model

    ours, hooks, images = made(), made(), data()
    before = pruning_of(ours)
    train(ours, images, RECIPES["all"], 7)
    with_hooks(hooks, images, RECIPES["all"])
    assert_same(ours, hooks)
    assert pruning_of(ours) == before
