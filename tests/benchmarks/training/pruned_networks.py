"""Pruned networks, images and recipes to train them with, and the plain loop with torch's hooks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.training.images import Images
from benchmarks.training.loop import accuracy, autocast
from benchmarks.training.recipes import Recipe
from torch_synflow import prune

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


def pruning_of(model: nn.Module) -> list[tuple[Any, ...]]:
    """Everything that torch's pruning puts on modules, by identity."""
    return [
        (name, list(m._parameters), *map(id, m._parameters.values()), set(map(id, m._forward_pre_hooks.values())),
         *((key, id(buffer)) for key, buffer in m._buffers.items()))
        for name, m in model.named_modules()
    ]  # fmt: skip
