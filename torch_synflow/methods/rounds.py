"""What the loop asks of a method, of ours and of any other: to leave so many elements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.model.parameters import Entry
from torch_synflow.schedules import Schedule, exponential
from torch_synflow.scoring.marked import require_finite
from torch_synflow.scoring.task import Task
from torch_synflow.selection.survivors import Quota, Survivors


class Rounds(ABC):
    """A method at work on some tensors.

    Attributes:
        task: what it scores with.
        iterations: how many there are by default.
        schedule: the schedule by default.
    """

    task: Task
    iterations: int = 1
    schedule: Schedule = staticmethod(exponential)

    @abstractmethod
    def start(self, entries: Sequence[Entry]) -> None:
        """Begin with tensors as they are; called once, before :meth:`prune`."""

    @abstractmethod
    def prune(self, survivors: Survivors, quota: Quota) -> Survivors:
        """What is left after an iteration."""


def rounds_of(method: Any, given: Task, remembered: Task) -> Rounds:
    """How a class prunes in the loop.

    Args:
        method: the class.
        given: what the call says it scores with.
        remembered: what it scores with where neither the call nor the class, which may be bound, says so.

    Raises:
        TypeError, ValueError: if it is no class of an unstructured method, or lacks what it scores with.
    """
    if not (isinstance(method, type) and issubclass(method, BasePruningMethod)):
        raise TypeError(f"pruning_method: expected a BasePruningMethod class such as prune.SynFlow, got {method!r}")
    if getattr(method, "PRUNING_TYPE", None) != "unstructured":
        raise TypeError(
            f"pruning_method: expected a class whose PRUNING_TYPE is 'unstructured', got {method.__name__} with "
            f"{getattr(method, 'PRUNING_TYPE', None)!r}"
        )
    try:
        method(amount=0)  # type: ignore[call-arg]
    except TypeError as error:
        raise TypeError(
            f"pruning_method: expected a class that can be made as {method.__name__}(amount=...), got: {error}"
        ) from error
    if issubclass(method, SaliencyUnstructured):
        return _ByScores(method, given.or_else(method._task).or_else(remembered))
    return _ByMasks(method, given.or_else(remembered))


class _ByScores(Rounds):
    """A method that scores a model: score what is left, keep the highest, apply the masks to the weights."""

    def __init__(self, method: type[SaliencyUnstructured], task: Task) -> None:
        self.task = method.require(task)
        self.iterations, self.schedule = method.iterations, method.schedule
        self._method = method

    def start(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._network = self._method.network(self.task, entries, [entry.mask for entry in entries])

    def prune(self, survivors: Survivors, quota: Quota) -> Survivors:
        returning = self._method.pruned_may_return
        if returning:
            survivors = Survivors([entry.mask for entry in self._entries])
        while not survivors.meets(quota):  # more than once where so much must not go at once
            survivors.keep_highest(self._method.score_entries(self._entries, self._network), quota)
            with torch.inference_mode(False):  # autograd saves no tensor that was made in that mode
                if returning:
                    self._network.mask_dense(survivors)
                else:
                    self._network.apply_masks(survivors)
        return survivors


class _ByMasks(Rounds):
    """A method of torch's kind, which computes the mask of a vector of weights."""

    def __init__(self, method: type[BasePruningMethod], task: Task) -> None:
        if task.model is not None and not isinstance(task.model, nn.Module):
            raise TypeError(f"model: expected an nn.Module, got {type(task.model).__name__}")
        self.task = task
        self._method = method

    def start(self, entries: Sequence[Entry]) -> None:
        self._weights = [entry.parameter.detach() for entry in entries]
        require_finite(entries, self._weights, "weights")

    def prune(self, survivors: Survivors, quota: Quota) -> Survivors:
        if not survivors.meets(quota):
            parts = survivors.of(self._weights).split(survivors.sizes(quota))
            kept = [self._computed_mask(part, keep) for part, keep in zip(parts, quota.numbers, strict=True)]
            survivors.keep_marked(torch.cat(kept))
        return survivors

    def _computed_mask(self, vector: Tensor, keep: int) -> Tensor:
        """The elements of a vector of weights that the method keeps."""
        alive, name = vector.numel(), self._method.__name__
        selected = self._method(amount=alive - keep)  # type: ignore[call-arg]
        kept: Tensor = selected.compute_mask(vector, default_mask=torch.ones_like(vector)) != 0
        if kept.shape != vector.shape or int(kept.sum()) != keep:
            raise ValueError(
                f"pruning_method: expected {name}.compute_mask to keep {keep} of {alive} entries, "
                f"got a mask of shape {tuple(kept.shape)} that keeps {int(kept.sum())}; "
                "it must honour an integer amount"
            )
        return kept
