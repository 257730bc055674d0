"""Classes that carry their model and data, and the parameters that they rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from torch_synflow.methods.made import make_class
from torch_synflow.model.parameters import Pair, held_parameters
from torch_synflow.scoring.task import Task

Bound = TypeVar("Bound")


def bound_class(method: type[Bound], task: Task, parameters: Sequence[Pair] | None) -> type[Bound]:
    """A subclass of ``method`` that scores with ``task``, and ranks ``parameters`` in their order if given."""
    attributes = {"_task": task, "_bound_parameters": parameters}
    return make_class(method.__name__, method, attributes, bound_class, method, task, parameters)


def survivors_of(pair: Pair, tensor: Tensor) -> Tensor:
    """The elements of ``tensor``, flattened, that the mask of its parameter keeps."""
    mask: Tensor | None = getattr(pair[0], f"{pair[1]}_mask", None)
    flat = tensor.reshape(-1)
    return flat if mask is None else flat[mask.reshape(-1) == 1]


def parameters_of(raw: Tensor, model: nn.Module, bound: Sequence[Pair] | None) -> list[Pair]:
    """Find the parameters of ``model`` whose concatenated values are exactly ``raw``, or raise an error."""
    raw = raw.detach()
    candidates = bound if bound is not None else [(module, name) for module, name, _, _ in held_parameters(model)]
    values = {pair: survivors_of(pair, getattr(*pair).detach()).to(raw.dtype) for pair in candidates}
    values = {pair: value for pair, value in values.items() if value.numel()}
    found: list[Pair] = []
    offset = 0
    while offset < raw.numel():
        rest = raw[offset:]
        fits = [pair for pair, value in values.items() if pair not in found and _starts_with(rest, value)]
        if not fits or (bound is None and len(fits) > 1):
            raise ValueError(
                f"parameters: the weights to prune match {'several' if fits else 'none'} of the parameters that the "
                f"method is bound to ({type(model).__name__}); pass parameters= to bind, the pairs to prune in order"
            )
        found.append(fits[0])
        offset += values[fits[0]].numel()
    return found


def _starts_with(vector: Tensor, value: Tensor) -> bool:
    # a few elements first: they almost always decide, and the rest may be millions
    return torch.equal(vector[: value.numel()][:8], value[:8]) and torch.equal(vector[: value.numel()], value)
