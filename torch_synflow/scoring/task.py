"""The arguments of scoring a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


class Shards(Protocol):
    """Parameters that are spread over processes, for models larger than one device."""

    def zero_throughout(self, parts: Weights) -> set[str]:
        """The names of the tensors that are all zero on all processes."""

    def leaves(self, parts: Weights, floor: torch.dtype) -> Weights:
        """Leaves of a new autograd graph that stand for parts, at least as wide as ``floor``, and take no memory."""

    def pack(self, tensor: Tensor) -> Any:
        """The object that autograd saves in place of a tensor; for a whole weight, how to gather it again."""

    def unpack(self, packed: Any) -> Tensor:
        """The tensor that :meth:`pack` was given."""

    def call(self, model: nn.Module, state: Weights, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The model's outputs with ``state`` (parts of sharded tensors), like ``functional_call``."""


#: ``(inputs, targets)``
Batch = tuple[Any, Any]
#: one batch, or an iterable of batches such as a ``DataLoader``
Data = Batch | Mapping[str, Any] | Iterable[Any]
#: ``loss_fn(outputs, targets)``, the mean over the examples of a batch
LossFunction = Callable[..., Tensor]
#: the outputs of a model that count: a key, an index or attribute, a function of the outputs, a submodule or its
#: qualified name, or several of these
Outputs = str | int | nn.Module | Callable[[Any], Any] | Sequence["str | int | nn.Module | Callable[[Any], Any]"]
#: turns sums over a part of the data into sums over all data, in place; takes and returns the number of examples
AddUp = Callable[[Weights, int], int]


@dataclass(frozen=True)
class Task:
    """The arguments of a method: the model, and inputs or data as the method needs.

    Attributes:
        model: the model that holds the parameters.
        example_inputs: the model's inputs, with the batch as the first dimension.
        data: one batch ``(inputs, targets)`` or an iterable of such batches.
        loss_fn: ``loss_fn(outputs, targets)``, the mean over the examples of a batch.
        outputs: which of the model's outputs count, all by default.
        add_up: a function that turns sums over ``data`` into sums over all data, if ``data`` are only a part.
        shards: gathers the weights, if the scored weights are parts of those of the model.
    """

    model: nn.Module | None = None
    example_inputs: Any = None  # the method decides which of these are needed
    data: Any = None
    loss_fn: LossFunction | None = None
    outputs: Outputs | None = None
    add_up: AddUp | None = None
    shards: Shards | None = None

    def or_else(self, other: Task) -> Task:
        """This task, with missing arguments taken from another."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Task(**{name: getattr(other, name) if value is None else value for name, value in values.items()})
