"""Training without pruning hooks gives the bits of training with them, and the model back as it was pruned."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.folding import folded
from benchmarks.images import Images
from benchmarks.recipes import Recipe
from benchmarks.training import accuracy, autocast, train
from torch_synflow import prune, rewinding
from torch_synflow.pruned import pruned_parameters

CPU = torch.device("cpu")
PLAIN = Recipe(epochs=3, batch=16, rate=0.05, momentum=0.0, decay=0.0, augmentation="none")
RECIPES = {
    "plain": PLAIN,
    "momentum": replace(PLAIN, momentum=0.9),
    "decay": replace(PLAIN, decay=1e-2, drops=(1.5,)),
    "all": replace(PLAIN, momentum=0.9, nesterov=True, decay=1e-2, drops=(1.5,), augmentation="shift"),
}


def data() -> Images:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(72) % 3
    pixels = torch.randint(120, (72, 3, 8, 8), generator=generator)
    pixels[range(72), labels] += 100
    return Images(pixels.to(torch.uint8), labels, (0.3, 0.3, 0.3), (0.2, 0.3, 0.2), 8, "f")


class Twice(nn.Module):
    """One parameter in two layers, each of which is used."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(192, 192), nn.Linear(192, 192), nn.Linear(192, 3)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(F.relu(self.second(F.relu(self.first(x.flatten(1))))))  # type: ignore[no-any-return]


def network(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 20), nn.ReLU(), nn.Linear(20, 3))
    if kind == "tied":
        return Twice()
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(128, 3),
    )  # fmt: skip


def pruned(kind: str) -> nn.Module:
    """A third of the weights, and a quarter of the entries of each bias and of the gains of BatchNorm."""
    model = network(kind)
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.33)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            prune.random_unstructured(module, "weight", 0.25)
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            prune.random_unstructured(module, "bias", 0.25)
    return model


def with_hooks(
    model: nn.Module, images: Images, recipe: Recipe, at: float = -1, then: Callable[[nn.Module], None] | None = None
) -> list[list[float]]:
    """The plain loop: torch's hooks multiply weights and masks in each pass. Returns the history."""
    batches, step, history = math.ceil(len(images) / recipe.batch), 0, []
    optimiser = torch.optim.SGD(
        model.parameters(), recipe.rate, recipe.momentum, weight_decay=recipe.decay, nesterov=recipe.nesterov
    )
    generator = torch.Generator().manual_seed(7)
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)
    for _ in range(recipe.epochs):
        model.train()
        total = torch.zeros(())
        for x, y in images.training_batches(recipe.batch, recipe.augmentation, generator, CPU):
            optimiser.param_groups[0]["lr"] = recipe.rate_after(step / batches)
            x = x.contiguous(memory_format=torch.channels_last) if recipe.channels_last else x
            optimiser.zero_grad()
            with autocast(recipe, CPU):
                loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimiser.step()
            total += loss.detach()
            step += 1
            if step == round(at * batches) and then is not None:
                then(model)
        history.append([round(step / batches, 4), float(total) / batches, accuracy(model, images, recipe)])
    model(x)  # brings the products of weights and masks up to date
    return history


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    """All that decides the outputs: parameters under their masks, the masks, and other buffers."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name, tensor in state.items():
        if name.endswith("_orig"):
            tensor *= state[name.removesuffix("_orig") + "_mask"]
    return state


def assert_same(ours: nn.Module, hooks: nn.Module) -> None:
    found, expected = values(ours), values(hooks)
    assert list(found) == list(expected)
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


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


def pruning_of(model: nn.Module) -> list[tuple[Any, ...]]:
    """Everything that torch's pruning puts on modules, by identity."""
    return [
        (name, list(m._parameters), *map(id, m._parameters.values()), set(map(id, m._forward_pre_hooks.values())),
         *((key, id(buffer)) for key, buffer in m._buffers.items()))
        for name, m in model.named_modules()
    ]  # fmt: skip


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
    with folded(model) as zero:
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
