"""Additions that a user's model can carry: gradients, hooks of all kinds, attributes, modes, masks, layouts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from benchmarks.faults.fuse import passing
from torch_synflow import prune

Burden = Callable[[nn.Module, random.Random], None]


def _layers(model: nn.Module) -> list[nn.Module]:
    return [module for module, name in prune.prunable_parameters(model) if name == "weight"]


def gradients(model: nn.Module, draw: random.Random) -> None:
    """Give some parameters gradients."""
    for parameter in model.parameters():
        if parameter.requires_grad and draw.random() < 0.8:
            parameter.grad = torch.rand_like(parameter)


def hooks_of_tensors(model: nn.Module, draw: random.Random) -> None:
    """Give parameters hooks and attributes."""
    for parameter in model.parameters():
        if parameter.requires_grad and draw.random() < 0.5:
            parameter.register_hook(_tensor_hook)
        if draw.random() < 0.3:
            parameter.learning_rate = 0.1  # type: ignore[attr-defined]


def _tensor_hook(gradient: Tensor) -> Tensor:
    passing("a user's hook")
    return gradient


def hooks_of_modules(model: nn.Module, draw: random.Random) -> None:
    """Register hooks of every kind that a module takes, some twice, in a random order."""

    def before(*_: Any) -> None:
        passing("a user's hook")

    def after(*_: Any) -> None:
        passing("a user's hook")

    layer = draw.choice(_layers(model))
    registrations: list[Callable[[], object]] = [
        lambda: layer.register_forward_pre_hook(before),
        lambda: layer.register_forward_pre_hook(before, prepend=True, with_kwargs=True),
        lambda: layer.register_forward_hook(after),
        lambda: layer.register_forward_hook(after, always_call=True),
        lambda: layer.register_full_backward_hook(after),
        lambda: layer.register_full_backward_pre_hook(before),
        lambda: layer.register_state_dict_pre_hook(before),
        lambda: layer.register_load_state_dict_post_hook(after),
    ]
    for register in draw.choices(registrations, k=draw.randint(1, 6)):
        register()


def frozen(model: nn.Module, draw: random.Random) -> None:
    """Freeze some parameters."""
    for parameter in model.parameters():
        if draw.random() < 0.3:
            parameter.requires_grad_(False)


def modes(model: nn.Module, draw: random.Random) -> None:
    """Put some modules in training mode and others in evaluation mode."""
    for module in model.modules():
        module.training = draw.random() < 0.5


def buffers(model: nn.Module, draw: random.Random) -> None:
    """Add buffers that no forward pass reads, one of which is not saved."""
    layer = draw.choice(_layers(model))
    layer.register_buffer("counter", torch.tensor(3))
    layer.register_buffer("scratch", torch.rand(2, 3), persistent=False)


def attributes(model: nn.Module, draw: random.Random) -> None:
    """Add attributes of the user's own: a tensor, a product that belongs to a graph, containers, an object."""
    layer = draw.choice(_layers(model))
    layer.cache = torch.rand(2)
    layer.product = torch.rand(2, requires_grad=True) * 2
    layer.note = {"calls": [1, 2], "seen": {3}}  # type: ignore[assignment]
    layer.opaque = object()  # type: ignore[assignment]


def seen_data(model: nn.Module, draw: random.Random) -> None:
    """Move the statistics of BatchNorm."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert module.running_mean is not None
            module.running_mean.copy_(torch.rand_like(module.running_mean))


def channels_last(model: nn.Module, draw: random.Random) -> None:
    """Put convolutions into channels-last layout."""
    model.to(memory_format=torch.channels_last)


def strided(model: nn.Module, draw: random.Random) -> None:
    """Make a weight whose memory is not in the order of its elements."""
    layer = draw.choice(_layers(model))
    if isinstance(layer, nn.Linear) and "weight" in layer._parameters:
        layer.weight.data = layer.weight.detach().t().contiguous().t()


def masks_of_torch(model: nn.Module, draw: random.Random) -> None:
    """Prune with torch's functions, perhaps twice."""
    layer = draw.choice(_layers(model))
    weight: Tensor = layer.get_parameter("weight")  # torch's function refuses strided ones
    if not weight.is_contiguous():
        return
    torch_prune.l1_unstructured(layer, "weight", 0.3)
    if draw.random() < 0.5:
        torch_prune.ln_structured(layer, "weight", 1, n=1, dim=0)


def masks_of_ours(model: nn.Module, draw: random.Random) -> None:
    """Prune all layers with this package."""
    prune.global_iterative_unstructured(model, torch_prune.RandomUnstructured, 0.2)


#: in the order in which they are given, each with how likely a random model has it
BURDENS: tuple[tuple[Burden, float], ...] = (
    (channels_last, 0.15), (strided, 0.1), (masks_of_torch, 0.2), (masks_of_ours, 0.15), (seen_data, 0.5),
    (buffers, 0.3), (attributes, 0.3), (frozen, 0.25), (gradients, 0.4), (hooks_of_tensors, 0.3),
    (hooks_of_modules, 0.5), (modes, 0.4),
)  # fmt: skip


def laden(model: nn.Module, draw: random.Random) -> None:
    """Give a model a random choice of these additions."""
    for burden, likely in BURDENS:
        if draw.random() < likely:
            burden(model, draw)
