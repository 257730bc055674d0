"""The interface between the loop and a method, ours or another: keep a given number of elements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod, L1Unstructured, RandomUnstructured

from torch_synflow._warnings import warn_user
from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.model.parameters import Entry
from torch_synflow.schedules import Schedule, exponential
from torch_synflow.scoring.marked import require_finite
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Task
from torch_synflow.selection.quotas import InGroups, Quota, Together
from torch_synflow.selection.stream import RankedFirst, ScoreStream
from torch_synflow.selection.survivors import Element, Survivors


class Rounds(ABC):
    """A method that prunes a list of tensors.

    Attributes:
        method: its class.
        task: the model and data that it scores with.
        iterations: the default number of iterations.
        schedule: the default schedule.
        reads_data: whether the masks depend on the task's data.
    """

    method: type[BasePruningMethod]
    task: Task
    reads_data: bool = False
    iterations: int = 1
    schedule: Schedule = staticmethod(exponential)

    @abstractmethod
    def start(self, entries: Sequence[Entry], last: Quota) -> None:
        """Begin with the current tensors; called once, before :meth:`select`, with the final quota."""

    @abstractmethod
    def select(self, survivors: Survivors, quota: Quota) -> Survivors:
        """The elements left after an iteration."""

    def apply(self, survivors: Survivors) -> None:  # noqa: B027 - most have nothing to prune
        """Continue with the elements that :meth:`select` has left."""


def rounds_of(method: Any, given: Task, remembered: Task) -> Rounds:
    """The rounds of a class in the loop.

    Args:
        method: the class.
        given: the task that the call passes.
        remembered: the task for arguments that neither the call nor a bound class gives.

    Raises:
        TypeError, ValueError: if ``method`` is not the class of an unstructured method, or an argument is missing.
    """
    if not (isinstance(method, type) and issubclass(method, BasePruningMethod)):
        kinds = {str: "a name", BasePruningMethod: "an instance", FunctionType: "a function"}
        instead = [f", {said}; pass the class itself" for kind, said in kinds.items() if isinstance(method, kind)]
        got = f"{method!r}{''.join(instead)}"
        raise TypeError(f"pruning_method: expected a BasePruningMethod class such as prune.SynFlow, got {got}")
    if getattr(method, "PRUNING_TYPE", None) != "unstructured":
        raise TypeError(
            f"pruning_method: expected a class whose PRUNING_TYPE is 'unstructured', got {method.__name__} with "
            f"{getattr(method, 'PRUNING_TYPE', None)!r}"
        )
    try:
        method(amount=0)  # type: ignore[call-arg]
    except TypeError as error:
        raise TypeError(
            f"pruning_method: expected a class that supports {method.__name__}(amount=...), got: {error}"
        ) from error
    if issubclass(method, SaliencyUnstructured):
        kind = _KeepingLayers if getattr(method, "keep_layers", False) else ByScores
        return kind(method, given.or_else(method._task).or_else(remembered))
    return _ByMasks(method, given.or_else(remembered))


class ByScores(Rounds):
    """A method that scores a model: score the remaining weights, keep the highest, and apply the masks.

    Attributes:
        score: the scores of entries in a network, by default those of the method.
    """

    def __init__(self, method: type[SaliencyUnstructured], task: Task) -> None:
        self.task = method.require(task)
        self.iterations, self.schedule = method.iterations, method.schedule
        self.reads_data = self.task.data is not None
        self.method = self._method = method
        self.score: Callable[[Sequence[Entry], Network], ScoreStream] = method.score_entries

    def start(self, entries: Sequence[Entry], last: Quota) -> None:
        """Begin with a network of the current weights."""
        self._entries, self._has_pruned = entries, False
        self._network = self._method.network(self.task, entries, [entry.mask for entry in entries])

    def select(self, survivors: Survivors, quota: Quota) -> Survivors:
        """The elements with the highest scores."""
        if self._method.pruned_may_return:
            survivors = survivors.with_masks([entry.mask for entry in self._entries])
        if not survivors.meets(quota):
            survivors.keep_highest(self.score(self._entries, self._network), quota)
            self._has_pruned = True
        return survivors

    def apply(self, survivors: Survivors) -> None:
        """Set the weights to zero that are not survivors."""
        if not self._has_pruned:
            return
        with torch.inference_mode(False):  # autograd saves no tensor made in that mode
            if self._method.pruned_may_return:
                self._network.mask_dense(survivors)
            else:
                self._network.apply_masks(survivors)


class _KeepingLayers(ByScores):
    """A method that undoes and divides an iteration that would leave a layer without flow.

    The scores of the remaining weights show whether flow reaches each layer. The next step uses the same scores, so
    nothing is scored twice as long as nothing is undone. An element whose removal alone would cut off a layer stays
    permanently, because paths only get fewer.
    """

    def start(self, entries: Sequence[Entry], last: Quota) -> None:
        super().start(entries, last)
        if isinstance(last, InGroups):
            raise ValueError(
                f"pattern: expected none, because {self._method.__name__}.keep_layers is set; leave out one of the "
                "two, because a pattern already keeps a part of each layer"
            )
        if not isinstance(last, Together):
            raise ValueError(
                f"layer_densities: expected none, because {self._method.__name__}.keep_layers is set; leave out one of "
                "the two, because both set the density of layers"
            )
        self._scores = self.score(entries, self._network)
        self._reached = [number for number in range(len(entries)) if self._scores.is_positive(number)]
        if last.keep < len(self._reached):
            raise ValueError(
                f"amount: expected to leave at least {len(self._reached)} weights, one per layer, because "
                f"{self._method.__name__}.keep_layers is set, got {last.keep}; lower amount"
            )
        self._staying: list[Element] = []
        self._on_paths = True

    def select(self, survivors: Survivors, quota: Quota) -> Survivors:
        (goal,) = quota.numbers
        step = survivors.total - goal
        while survivors.total > goal:
            known = {number for number, *_ in self._staying}
            last = [n for n in self._reached if survivors.counts[n] == 1 and n not in known]  # of a layer: not tried
            self._staying += [survivors.highest(self._scores, number) for number in last]
            if len(self._staying) == survivors.total:
                self._keep_one_of_each(survivors)
            step = min(step, survivors.total - goal)
            trial = survivors.copy()
            staying = survivors.places(self._staying)
            trial.keep_highest(RankedFirst(self._scores, staying), Together(survivors.total - step))
            gone = survivors.without(trial) if step == 1 else []
            network = self._network.copy()
            with torch.inference_mode(False):
                network.apply_masks(trial)
            scores = self.score(self._entries, network)
            if not self._on_paths or all(scores.is_positive(number) for number in self._reached):
                survivors, self._network, self._scores = trial, network, scores
                step *= 2
            elif step == 1:
                self._staying += gone
            else:
                step //= 2
        return survivors

    def apply(self, survivors: Survivors) -> None:
        """Already done by :meth:`select`."""

    def _keep_one_of_each(self, survivors: Survivors) -> None:
        """Continue without paths once every remaining element is needed; each layer keeps its highest."""
        self._on_paths = False
        self._staying = [survivors.highest(self._scores, number) for number in self._reached]
        warn_user(
            f"{self._method.__name__}: with fewer than {survivors.total} weights left, not every layer is on a path "
            "from input to output; because keep_layers is set, each layer keeps its highest-scoring weight"
        )


#: the values by which torch's own methods rank the elements of a group
_SCORES: dict[type[BasePruningMethod], Callable[[Tensor], Tensor]] = {
    L1Unstructured: torch.abs,
    RandomUnstructured: torch.rand_like,
}


class _ByMasks(Rounds):
    """A method like torch's, which computes the mask of a vector of weights."""

    def __init__(self, method: type[BasePruningMethod], task: Task) -> None:
        if task.model is not None and not isinstance(task.model, nn.Module):
            raise TypeError(f"model: expected an nn.Module, got {type(task.model).__name__}")
        self.task = task
        self.method = self._method = method

    def start(self, entries: Sequence[Entry], last: Quota) -> None:
        self._weights = [entry.parameter.detach() for entry in entries]
        require_finite(entries, self._weights, "weights")
        if isinstance(last, InGroups) and self._method not in _SCORES:
            raise ValueError(
                "pattern: expected a method with scores such as prune.SynFlow, or prune.L1Unstructured or "
                f"prune.RandomUnstructured, got {self._method.__name__}, which only returns the mask of a vector"
            )

    def select(self, survivors: Survivors, quota: Quota) -> Survivors:
        if survivors.meets(quota):
            return survivors
        if isinstance(quota, InGroups):
            scores = [_SCORES[self._method](w) * mask for w, mask in zip(self._weights, survivors.masks, strict=True)]
            survivors.keep_highest(ScoreStream(scores), quota)
        else:
            parts = survivors.of(self._weights).split(survivors.sizes(quota))
            kept = [self._computed_mask(part, keep) for part, keep in zip(parts, quota.numbers, strict=True)]
            survivors.keep_marked(torch.cat(kept))
        return survivors

    def _computed_mask(self, vector: Tensor, keep: int) -> Tensor:
        """The elements of a vector of weights that the method keeps."""
        alive, name = vector.numel(), self._method.__name__
        selected = self._method(amount=alive - keep)  # type: ignore[call-arg]
        mask: Any = selected.compute_mask(vector, default_mask=torch.ones_like(vector))
        if not isinstance(mask, Tensor):
            raise TypeError(
                f"pruning_method: expected {name}.compute_mask to return a tensor, got {type(mask).__name__}"
            )
        kept = mask != 0
        if kept.shape != vector.shape or int(kept.sum()) != keep:
            raise ValueError(
                f"pruning_method: expected {name}.compute_mask to keep {keep} of {alive} weights, got a mask of shape "
                f"{tuple(kept.shape)} that keeps {int(kept.sum())}; it must honour an integer amount"
            )
        return kept
