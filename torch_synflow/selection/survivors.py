"""The kept elements of many tensors: exactly the given number of highest scores."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from copy import copy as shallow_copy
from itertools import accumulate

import torch
from torch import Tensor

from torch_synflow.selection.groups import best_of_groups
from torch_synflow.selection.histogram import highest_of_scores, waits
from torch_synflow.selection.quotas import InGroups, Quota, Together
from torch_synflow.selection.stream import RankedFirst, ScoreStream
from torch_synflow.selection.threshold import indices_of, mark_highest

#: the indices of the output and input channels of a weight that have elements left
Channels = tuple[Tensor, Tensor]
#: the number of a tensor, and where the element is in it: output channel, input channel, and the index within these
Element = tuple[int, ...]


def keep_highest(scores: Tensor, keep: int) -> Tensor:
    """Mark the ``keep`` highest of a vector of scores; ties go to the lower index.

    Args:
        scores: finite scores, shape ``(n,)``, any floating dtype.
        keep: the number of elements to mark, 0 to n.

    Returns:
        A boolean vector of shape ``(n,)`` with exactly ``keep`` true elements.

    Example:
        >>> keep_highest(torch.tensor([0.0, 2.0, 2.0, -3.0, 2.0]), 2)
        tensor([False,  True,  True, False, False])
    """
    survivors = Survivors([torch.ones(scores.shape, dtype=torch.bool, device=scores.device)])
    survivors.keep_highest(ScoreStream([scores]), Together(keep))
    return survivors.masks[0]


class Survivors:
    """The elements of several tensors that are still kept.

    Work falls with their number: after :meth:`compact`, a tensor is held as the block of the channels that have
    elements left.

    Attributes:
        masks: a contiguous boolean mask per tensor, of its block.
        total: the number of elements that all tensors keep together.
        channels: the channels of the block of each tensor, ``None`` for all.
    """

    def __init__(self, masks: Sequence[Tensor]) -> None:
        self.channels: list[Channels | None] = [None] * len(masks)
        self._whole_shapes = [mask.shape for mask in masks]
        self._hold(masks)
        self.total = sum(self.counts)

    def _hold(self, masks: Sequence[Tensor]) -> None:
        """Hold copies of the masks end to end, and the same memory again for the next masks."""
        self._shapes = [mask.shape for mask in masks]
        self._starts = [0, *accumulate(mask.numel() for mask in masks)]
        flat = torch.cat([mask.reshape(-1) for mask in masks]) if masks else torch.empty(0, dtype=torch.bool)
        self._now, self._next = self._views_of(flat), self._views_of(torch.empty_like(flat))
        self._counts: list[int] | None = None

    def _views_of(self, flat: Tensor) -> tuple[Tensor, list[Tensor]]:
        parts = flat.split([end - start for start, end in zip(self._starts, self._starts[1:], strict=False)])
        return flat, [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def copy(self) -> Survivors:
        """The same elements, to be pruned independently."""
        other = shallow_copy(self)
        other.channels = list(self.channels)
        other._now, other._next = self._views_of(self._now[0].clone()), self._views_of(torch.empty_like(self._now[0]))
        return other

    def with_masks(self, masks: Sequence[Tensor]) -> Survivors:
        """Other elements of the same tensors, in their own shapes."""
        other = shallow_copy(self)
        other.channels = [None] * len(masks)
        other._hold(masks)
        other.total = sum(other.counts)
        return other

    @property
    def masks(self) -> list[Tensor]:
        """A boolean mask per tensor."""
        return self._now[1]

    @property
    def counts(self) -> list[int]:
        """The number of elements that each tensor keeps."""
        if self._counts is None:
            counts = [mask.count_nonzero() for mask in self.masks]
            self._counts = torch.stack(counts).tolist() if counts else []
        return self._counts

    def of(self, tensors: Sequence[Tensor]) -> Tensor:
        """The kept elements of tensors of the masks' shapes, as one vector."""
        parts = []
        for tensor, mask, count in zip(tensors, self.masks, self.counts, strict=True):
            flat = tensor.reshape(-1)
            parts.append(flat if count == mask.numel() else flat.index_select(0, indices_of(mask)))
        return torch.cat(parts)

    def keep_marked(self, kept: Tensor) -> None:
        """Keep the elements that a boolean vector marks, in the order of :meth:`of`."""
        self._now[0][indices_of(self._now[0])] = kept
        self._counts, self.total = None, int(kept.count_nonzero())

    def sizes(self, quota: Quota) -> list[int]:
        """The number of elements of each part that a quota counts."""
        return [self.total] if isinstance(quota, Together) else self.counts

    def meets(self, quota: Quota) -> bool:
        """Whether no more elements are left than a quota keeps."""
        return self.sizes(quota) == list(quota.numbers)

    def keep_highest(self, scores: ScoreStream, quota: Quota) -> None:
        """Keep the highest scores; ties go to the earlier tensor, then to the lower index.

        A sample brackets the threshold, so only scores in the bracket are ranked.

        Args:
            scores: the scores, with the shapes of the masks.
            quota: the number of elements to keep, of all tensors together or of each.
        """
        if isinstance(quota, InGroups):
            scores = RankedFirst(scores, self._first_in_groups(scores, quota))
        if isinstance(quota, Together):
            groups = [(range(len(self.masks)), self.total, quota.keep)]
        else:
            every = enumerate(zip(self.counts, quota.numbers, strict=True))
            groups = [(range(number, number + 1), alive, keep) for number, (alive, keep) in every]
        for group, alive, keep in groups:
            if keep < alive:
                self._keep_of(scores, group, alive, keep)
                self.total -= alive - keep
        self._counts = None

    def _keep_of(self, scores: ScoreStream, group: range, alive: int, keep: int) -> None:
        """Keep the highest scores of consecutive tensors, of which ``alive`` elements are left."""
        here = slice(self._starts[group.start], self._starts[group.stop])
        if waits(self._now[0]):
            self._next[0][here] = highest_of_scores(scores, group, self._now[0][here], keep)
        else:
            mark_highest(scores, group, self._now[0][here], alive, keep, self._next[0][here])
        if len(group) == len(self.masks):
            self._now, self._next = self._next, self._now
        else:
            self._now[0][here] = self._next[0][here]

    def _first_in_groups(self, scores: ScoreStream, quota: InGroups) -> Tensor:
        """The places of the elements that a quota puts first. Groups are those of the whole tensors."""
        places = []
        for number, mask in enumerate(self.masks):
            score, channels = scores.whole(number).view(mask.shape), self.channels[number]
            if channels is None:
                marks = best_of_groups(score, mask, quota.n, quota.m)
            else:
                block = channels[0][:, None], channels[1]
                whole = score.new_zeros(self._whole_shapes[number])
                whole[block] = score
                marks = best_of_groups(whole, self.whole(number), quota.n, quota.m)[block]
            places.append(indices_of(marks).add_(self._starts[number]))
        return torch.cat(places)

    def compact(self, tensors: Iterable[int]) -> dict[int, Channels]:
        """Hold tensors as the blocks of their living channels, if that saves enough.

        Args:
            tensors: the numbers of the tensors to check.

        Returns:
            The channels left in the block of each tensor that is now held as a smaller one.
        """
        found = {number: living for number in tensors if (living := _living(self.masks[number])) is not None}
        if not found:
            return found
        masks = list(self.masks)
        for number, (outputs, inputs) in found.items():
            masks[number] = masks[number].index_select(0, outputs).index_select(1, inputs)
            before = self.channels[number]
            self.channels[number] = (outputs, inputs) if before is None else (before[0][outputs], before[1][inputs])
        self._hold(masks)
        return found

    def without(self, other: Survivors) -> list[Element]:
        """The elements that are missing in ``other``, a copy that has not been compacted since."""
        return [self._element(place) for place in indices_of(self._now[0] & ~other._now[0]).tolist()]

    def highest(self, scores: ScoreStream, number: int) -> Element:
        """The element of one tensor with the highest score."""
        return self._element(self._starts[number] + int(scores.whole(number).argmax()))

    def places(self, elements: Iterable[Element]) -> Tensor:
        """The ascending places of elements in the concatenation of the flattened blocks of all tensors."""
        found = []
        for number, row, column, rest in elements:
            if (channels := self.channels[number]) is not None:
                row, column = int((channels[0] == row).nonzero()), int((channels[1] == column).nonzero())
            _, columns, size = _as_matrices(self._shapes[number])
            found.append(self._starts[number] + (row * columns + column) * size + rest)
        return torch.tensor(sorted(found), dtype=torch.int64, device=self._now[0].device)

    def _element(self, place: int) -> Element:
        number = bisect_right(self._starts, place) - 1
        _, columns, size = _as_matrices(self._shapes[number])
        row, within = divmod(place - self._starts[number], columns * size)
        column, rest = divmod(within, size)
        if (channels := self.channels[number]) is not None:
            row, column = int(channels[0][row]), int(channels[1][column])
        return number, row, column, rest

    def whole(self, number: int) -> Tensor:
        """The mask of one tensor in its own shape."""
        mask, channels = self.masks[number], self.channels[number]
        if channels is None:
            return mask
        outputs, inputs = channels
        whole = torch.zeros(self._whole_shapes[number], dtype=torch.bool, device=mask.device)
        whole[outputs[:, None], inputs] = mask
        return whole


def _as_matrices(shape: torch.Size) -> tuple[int, int, int]:
    """The numbers of output channels, input channels, and elements within these of a tensor."""
    return (shape[0], shape[1], math.prod(shape[2:])) if len(shape) > 1 else (shape.numel(), 1, 1)


def _living(mask: Tensor) -> Channels | None:
    """The output and input channels with elements left, if leaving out the others saves enough."""
    if mask.dim() < 2 or not mask.numel():
        return None
    pairs = mask.flatten(2).any(2) if mask.dim() > 2 else mask
    outputs, inputs = indices_of(pairs.any(1)), indices_of(pairs.any(0))
    if not len(outputs):  # an empty layer still has an output, and operations need weights with elements
        outputs = inputs = outputs.new_zeros(1)
    return (outputs, inputs) if len(outputs) * len(inputs) <= 0.9 * pairs.numel() else None
