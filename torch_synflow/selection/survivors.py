"""Selection: which of many tensors' scores to keep, exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from torch_synflow.selection.histogram import highest_of_scores, waits
from torch_synflow.selection.stream import ScoreStream
from torch_synflow.selection.threshold import indices_of, lowest_of, number_of

#: so many scores are drawn to bracket the threshold: the more, the fewer lie between
_SAMPLE = 1 << 14

#: how wide a bracket is, in standard deviations: a wider one costs more each time than the rare second attempt
_DEVIATIONS = (3.0, 9.0)

#: the output and input channels of a weight that have entries left, as indices
Channels = tuple[Tensor, Tensor]


def keep_highest(scores: Tensor, keep: int) -> Tensor:
    """Mark the ``keep`` highest of a vector of scores; of equal scores the lower index is kept.

    Args:
        scores: finite scores, shape ``(n,)``, any floating dtype.
        keep: how many entries to mark, 0 to n.

    Returns:
        A boolean vector of shape ``(n,)`` with exactly ``keep`` true entries.

    Example:
        >>> keep_highest(torch.tensor([0.0, 2.0, 2.0, -3.0, 2.0]), 2)
        tensor([False,  True,  True, False, False])
    """
    survivors = Survivors([torch.ones(scores.shape, dtype=torch.bool, device=scores.device)])
    survivors.keep_highest(ScoreStream([scores]), [keep])
    return survivors.masks[0]


@dataclass
class _Going:
    """What is to go: all survivors below ``low``, and those that are marked of the scores from there up to a bound.

    Attributes:
        low: see above.
        between: the scores from ``low`` up to a bound.
        marks: of these.
        places: where they are, for each tensor.
        counts: of the survivors not below ``low``, for each tensor.
    """

    low: float
    between: Tensor
    marks: Tensor
    places: list[Tensor]
    counts: list[int]

    @property
    def highest(self) -> float:
        """No score that goes is higher."""
        marked = self.between[self.marks]
        return max(float(marked.max()) if len(marked) else -math.inf, self.low)

    def at_most(self, alive: int) -> float:
        """What the scores that go amount to at most, of so many survivors."""
        below = alive - sum(self.counts)
        return float((self.between * self.marks).sum()) + (below * self.low if below else 0.0)


class Survivors:
    """The entries that are still kept of several tensors.

    Work falls with them: a tensor some of whose channels have nothing left is held, after :meth:`compact`, as the
    block of those that have.

    Attributes:
        masks: for each tensor a boolean mask, contiguous, of its block.
        total: how many entries all keep together.
        channels: for each tensor the channels of its block, ``None`` for all.
    """

    def __init__(self, masks: Sequence[Tensor]) -> None:
        self.masks = [mask.clone(memory_format=torch.contiguous_format) for mask in masks]
        self._counts: list[int] | Tensor = _counts(self.masks)
        self.total = sum(self.counts)
        self.channels: list[Channels | None] = [None] * len(self.masks)
        self._shapes = [mask.shape for mask in self.masks]
        self._next: list[Tensor | None] = [None] * len(self.masks)

    @property
    def counts(self) -> list[int]:
        """How many entries each keeps."""
        if isinstance(self._counts, Tensor):
            self._counts = self._counts.tolist()
        return self._counts

    def of(self, tensors: Sequence[Tensor]) -> Tensor:
        """The kept entries of tensors of the masks' shapes, as one vector."""
        parts = []
        for tensor, mask, count in zip(tensors, self.masks, self.counts, strict=True):
            flat = tensor.reshape(-1)
            parts.append(flat if count == mask.numel() else flat.index_select(0, indices_of(mask)))
        return torch.cat(parts)

    def keep(self, kept: Tensor) -> None:
        """Keep those that a boolean vector marks, in the order of :meth:`of`."""
        for mask, part in zip(self.masks, kept.split(self.counts), strict=True):
            mask.view(-1)[indices_of(mask)] = part
        self._counts = _counts(self.masks)
        self.total = sum(self.counts)

    def keep_highest(self, scores: ScoreStream, keeps: Sequence[int]) -> None:
        """Keep the highest scores; of equal ones those of the earlier tensor, then of the lower index.

        A sample brackets the threshold, so that only what lies in the bracket is ranked. Of all tensors together more
        are kept than was asked for where the others' scores would not be within the reader's budget.

        Args:
            scores: of tensors of the masks' shapes.
            keeps: how many to keep: of all tensors together, or of each.
        """
        every = range(len(self.masks))
        groups = [[number] for number in every] if len(keeps) == len(self.masks) else [list(every)]
        for group, keep in zip(groups, keeps, strict=True):
            alive = self.total if len(groups) == 1 else self.counts[group[0]]
            if keep == alive:
                continue
            if waits(self.masks[group[0]]) and scores.budget == math.inf:
                self._keep_without_asking(scores, group, keep)
                self.total -= alive - keep
            else:
                self._keep_highest(scores, group, keep)
                self.total = sum(self.counts)

    def _keep_highest(self, scores: ScoreStream, group: Sequence[int], keep: int) -> None:
        going = self._choose(scores, group, keep)
        alive = sum(self.counts[number] for number in group)
        reach = 1.0 + 2.0 * scores.error
        if going.at_most(alive) * reach >= scores.budget and len(group) == len(self.masks):
            for number in group:
                scores.restore(number)
            keep = max(keep, alive - self._affordable(scores, group, going.highest * reach))
            going = self._choose(scores, group, keep)
        parts = going.marks.split([len(place) for place in going.places])
        for number, count, place, marks in zip(group, going.counts, going.places, parts, strict=True):
            kept, gone = self._next[number], place[marks]
            self.counts[number] = count - len(gone)
            assert kept is not None  # _between has just made it
            kept.view(-1)[gone] = False
            scores.drop_at(number, gone)
            self.masks[number], self._next[number] = kept, self.masks[number]

    def _keep_without_asking(self, scores: ScoreStream, group: Sequence[int], keep: int) -> None:
        """The same where nothing leaves the device."""
        scores.drops = False
        kept = highest_of_scores(scores, group, [self.masks[number] for number in group], keep)
        for number, mask in zip(group, kept, strict=True):
            self.masks[number] = mask
        if len(group) == len(self.masks):
            self._counts = torch.stack([number_of(mask) for mask in kept])
        else:
            self.counts[group[0]] = keep

    def _choose(self, scores: ScoreStream, group: Sequence[int], keep: int) -> _Going:
        """What is to go so that the highest stay."""
        for deviations in (*_DEVIATIONS, None):
            if deviations is None:
                scores.exactly()
            low, high = self._bracket(scores, group, keep, deviations) if deviations else (-math.inf, math.inf)
            between, places, counts = self._between(scores, group, low, high)
            goes = sum(counts) - keep
            if 0 <= goes <= len(between):
                marks = lowest_of(scores, group, between, places, goes, low, high)
                if marks is not None:
                    return _Going(low, between, marks, places, counts)
                scores.exactly()
            for number in group:
                scores.restore(number)
        raise ValueError("scores: expected finite ones, got NaN")

    def _affordable(self, scores: ScoreStream, group: Sequence[int], highest: float) -> int:
        """How many of the lowest scores, up to ``highest``, are within the budget; at least one."""
        found = []
        for number in group:
            whole = scores.whole(number)
            found.append(whole[(whole <= highest).logical_and_(self.masks[number].view(-1))])
        sums = torch.cat(found).sort().values.cumsum(0)
        return max(1, int((sums < scores.budget).count_nonzero()))

    def _bracket(self, scores: ScoreStream, group: Sequence[int], keep: int, deviations: float) -> tuple[float, float]:
        """Two values between which the ``keep``-th highest score lies, by a sample and so many standard deviations."""
        masks = [self.masks[number] for number in group]
        blocks, alive = sum(mask.numel() for mask in masks), sum(self.counts[number] for number in group)
        if alive <= 4 * _SAMPLE:
            return -math.inf, math.inf
        generator = torch.Generator(masks[0].device).manual_seed(0)
        parts = []
        for number, mask in zip(group, masks, strict=True):
            size = -(-_SAMPLE * mask.numel() // blocks)
            places = torch.randint(max(1, mask.numel()), (size,), generator=generator, device=mask.device)
            parts.append(scores.at(number, places[mask.view(-1).index_select(0, places)]))
        sample = torch.cat(parts)
        rank = (1.0 - keep / alive) * len(sample)
        margin = deviations * math.sqrt(rank * keep / alive) + 4.0  # of the rank
        below, above = int(rank - margin), int(rank + margin)
        reach = 4.0 * scores.error  # so that what is told apart by looking it up lies between
        return (
            float(sample.kthvalue(below).values) * (1.0 - reach) if below > 0 else -math.inf,
            float(sample.kthvalue(above).values) * (1.0 + reach) if above <= len(sample) else math.inf,
        )

    def _between(
        self, scores: ScoreStream, group: Sequence[int], low: float, high: float
    ) -> tuple[Tensor, list[Tensor], list[int]]:
        """The survivors' scores from ``low`` to ``high``, where they are, and how many are not below ``low``.

        Leaves in ``_next`` the masks of those from ``low`` up.
        """
        values, places, counts = [], [], []
        ones = torch.empty(2, 0)
        for number in group:
            mask, whole = self.masks[number], self._next[number]
            if whole is None or whole.shape != mask.shape:
                whole = self._next[number] = torch.empty_like(mask)
            start, here = 0, []
            for part, unit in scores.parts(number):
                kept, alive = whole.view(-1)[start : start + len(part)], mask.view(-1)[start : start + len(part)]
                if ones.shape[1] < len(part) or ones.dtype != part.dtype:
                    ones = part.new_empty(2, len(part))
                stays, below = ones[:, : len(part)]
                kept.copy_(torch.ge(part, low / unit, out=stays))  # twice as fast as comparing into booleans
                if low <= 0:  # else what is pruned, and scored zero, is below it
                    kept.logical_and_(alive)
                place = indices_of(torch.le(part, high / unit, out=below).bool().logical_and_(kept))
                found = part.index_select(0, place)
                values.append(found if unit == 1.0 and not scores.error else found.double().mul_(unit))
                here.append(place.add_(start))
                start += len(part)
                scores.drop(stays)
            places.append(torch.cat(here) if here else torch.empty(0, dtype=torch.long, device=mask.device))
            counts.append(int(number_of(whole)))
        return torch.cat(values), places, counts

    def compact(self, number: int) -> Channels | None:
        """Hold one tensor as the block of its living channels, if that saves enough; which these are of the block."""
        mask = self.masks[number]
        if mask.dim() < 2 or not mask.numel():
            return None
        pairs = mask.flatten(2).any(2) if mask.dim() > 2 else mask
        outputs, inputs = indices_of(pairs.any(1)), indices_of(pairs.any(0))
        if not len(outputs):  # an empty layer still has an output, and operations no empty weights
            outputs = inputs = outputs.new_zeros(1)
        if len(outputs) * len(inputs) > 0.9 * pairs.numel():
            return None
        self.masks[number] = mask.index_select(0, outputs).index_select(1, inputs)
        self._next[number] = None
        before = self.channels[number]
        self.channels[number] = (outputs, inputs) if before is None else (before[0][outputs], before[1][inputs])
        return outputs, inputs

    def whole(self, number: int) -> Tensor:
        """The mask of one tensor in its own shape."""
        mask, channels = self.masks[number], self.channels[number]
        if channels is None:
            return mask
        outputs, inputs = channels
        whole = torch.zeros(self._shapes[number], dtype=torch.bool, device=mask.device)
        whole[outputs[:, None], inputs] = mask
        return whole


def _counts(masks: Sequence[Tensor]) -> list[int]:
    counts: list[int] = torch.stack([number_of(mask) for mask in masks]).tolist() if masks else []
    return counts
