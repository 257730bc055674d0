"""What tests read off a model: its weights, pruned or not, and their masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.models import TiedEmbedding
from torch_synflow import prune

Pair = tuple[nn.Module, str]


def listed(model: nn.Module) -> prune.PrunableParameters:
    """All prunable weights of ``model``, one that an embedding and a layer share included."""
    return prune.prunable_parameters(model, embeddings=isinstance(model, TiedEmbedding))


def dense(pair: Pair) -> nn.Parameter:
    """The parameter behind ``(module, name)``, pruned or not."""
    module, name = pair
    return getattr(module, f"{name}_orig") if hasattr(module, f"{name}_orig") else getattr(module, name)


def mask_of(pair: Pair) -> Tensor:
    """The mask of ``(module, name)``, ones where it is not pruned."""
    module, name = pair
    mask: Tensor | None = getattr(module, f"{name}_mask", None)
    return torch.ones_like(dense(pair), requires_grad=False) if mask is None else mask


def distinct(model: nn.Module) -> list[Pair]:
    """The prunable weights of ``model``, those that are one tensor once."""
    first: dict[int, Pair] = {}
    for pair in listed(model):
        first.setdefault(id(dense(pair)), pair)
    return list(first.values())


def places(model: nn.Module) -> list[Pair]:
    """Every place of ``model`` that holds a prunable weight, tied embeddings included."""
    tensors = {id(dense(pair)) for pair in distinct(model)}
    return [
        (module, "weight")
        for module in model.modules()
        if getattr(module, "weight", None) is not None and id(dense((module, "weight"))) in tensors
    ]


def masks_of(model: nn.Module) -> list[Tensor]:
    """A copy of the mask of each prunable weight of ``model``."""
    return [mask_of(pair).clone() for pair in distinct(model)]


def removed(amount: float, alive: int) -> int:
    """How many of so many elements an amount removes."""
    return amount if isinstance(amount, int) else round(amount * alive)


def alive_in(model: nn.Module) -> int:
    """How many entries of the prunable weights of ``model`` are kept."""
    return sum(int(mask.sum(dtype=torch.int64)) for mask in masks_of(model))
