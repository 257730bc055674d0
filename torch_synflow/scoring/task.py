"""What a model is scored with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


class Shards(Protocol):
    """Parameters of which this process holds a part, where a model is larger than one device."""

    def part_of(self, tensor: Tensor) -> Tensor:
        """What this process holds of a tensor."""

    def zero_throughout(self, parts: Weights) -> set[str]:
        """The names of the tensors that are zero on all processes."""

    def leaves(self, parts: Weights, floor: torch.dtype) -> Weights:
        """Leaves of a new autograd graph that stand for parts, at least as wide as ``floor``, and take no memory."""

    def pack(self, tensor: Tensor) -> Any:
        """What autograd saves in place of a tensor: of a whole weight how to gather it again."""

    def unpack(self, packed: Any) -> Tensor:
        """The tensor that :meth:`pack` was given."""

    def call(self, model: nn.Module, state: Weights, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The model's outputs with ``state``, parts where these are sharded, as ``functional_call`` does."""


#: ``(inputs, targets)``
Batch = tuple[Any, Any]
#: one batch, or an iterable of batches as a ``DataLoader`` is
Data = Batch | Mapping[str, Any] | Iterable[Any]
#: ``loss_fn(outputs, targets)``, the mean over the examples of a batch
LossFunction = Callable[..., Tensor]
#: which of a model's outputs count: a key, an index or attribute, or a function of what the model returns; or a
#: submodule, or its qualified name, whose outputs count; or several of these
Outputs = str | int | nn.Module | Callable[[Any], Any] | Sequence["str | int | nn.Module | Callable[[Any], Any]"]
#: makes sums over a part of the data those over all, in place, and returns the number of all examples, given the part's
AddUp = Callable[[Weights, int], int]


@dataclass(frozen=True)
class Task:
    """What a method scores with: the model, and whichever of an input and data the method needs.

    Attributes:
        model: the model that holds the parameters.
        example_inputs: what it is called with, the first dimension being the batch.
        data: one batch ``(inputs, targets)`` or an iterable of such batches.
        loss_fn: ``loss_fn(outputs, targets)``, the mean over the examples of a batch.
        outputs: which of the model's outputs count, all by default.
        add_up: where ``data`` are a part of those that the model is scored with, what makes of sums over them sums over
            all.
        shards: where the weights that are scored are parts of those of the model, what gathers them.
    """

    model: nn.Module | None = None
    example_inputs: Any = None  # which of these are there depends on what a method needs
    data: Any = None
    loss_fn: LossFunction | None = None
    outputs: Outputs | None = None
    add_up: AddUp | None = None
    shards: Shards | None = None

    def or_else(self, other: Task) -> Task:
        """This task, with what it lacks taken from another."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Task(**{name: getattr(other, name) if value is None else value for name, value in values.items()})
