"""Selection: how many entries to remove, and which of many tensors' scores to keep, exactly."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

#: so many scores are drawn to bracket the threshold: the more, the fewer lie between
_SAMPLE = 1 << 14

#: the output and input channels of a weight that have entries left, as indices
Channels = tuple[Tensor, Tensor]


class ScoreReader:
    """The scores of several tensors, read a part at a time, so that they need not all exist at once.

    This one holds them. A subclass may compute them; it gives :meth:`at` and :meth:`parts`.

    Args:
        tensors: the scores.

    Attributes:
        drops: whether :meth:`drop` sets weights to zero.
    """

    drops: ClassVar[bool] = False

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._flat = [tensor.reshape(-1) for tensor in tensors]

    def at(self, number: int, places: Tensor) -> Tensor:
        """The scores at flat indices of one tensor."""
        return self._flat[number].index_select(0, places)

    def parts(self, number: int) -> Iterator[Tensor]:
        """All scores of one tensor in order, as vectors that hold until the next is asked for."""
        yield self._flat[number]

    def drop(self, low: float) -> None:
        """Told that entries of the last part go that score less than ``low``; the part is no longer needed."""

    def drop_at(self, number: int, places: Tensor) -> None:
        """Told of others of one tensor that are not kept."""

    def restore(self, number: int) -> None:
        """Told that the bracket was wrong, so that nothing of what was told of a tensor holds."""

    def whole(self, number: int) -> Tensor:
        """All scores of one tensor as one vector."""
        return torch.cat([part.clone() for part in self.parts(number)])


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
    survivors.keep_highest(ScoreReader([scores]), [keep])
    return survivors.masks[0]


class Survivors:
    """The entries that are still kept of several tensors.

    Work falls with them: a tensor some of whose channels have nothing left is held, after :meth:`compact`, as the
    block of those that have.

    Attributes:
        masks: for each tensor a boolean mask, contiguous, of its block.
        counts: how many entries each keeps.
        channels: for each tensor the channels of its block, ``None`` for all.
    """

    def __init__(self, masks: Sequence[Tensor]) -> None:
        self.masks = [mask.clone(memory_format=torch.contiguous_format) for mask in masks]
        self.counts = _counts(self.masks)
        self.channels: list[Channels | None] = [None] * len(self.masks)
        self._shapes = [mask.shape for mask in self.masks]
        self._next: list[Tensor | None] = [None] * len(self.masks)

    def of(self, tensors: Sequence[Tensor]) -> Tensor:
        """The kept entries of tensors of the masks' shapes, as one vector."""
        parts = []
        for tensor, mask, count in zip(tensors, self.masks, self.counts, strict=True):
            flat = tensor.reshape(-1)
            parts.append(flat if count == mask.numel() else flat.index_select(0, _positions(mask)))
        return torch.cat(parts)

    def keep(self, kept: Tensor) -> None:
        """Keep those that a boolean vector marks, in the order of :meth:`of`."""
        for mask, part in zip(self.masks, kept.split(self.counts), strict=True):
            mask.view(-1)[_positions(mask)] = part
        self.counts = _counts(self.masks)

    def keep_highest(self, scores: ScoreReader, keeps: Sequence[int]) -> None:
        """Keep the highest scores; of equal ones those of the earlier tensor, then of the lower index.

        A sample brackets the threshold, so that only what lies in the bracket is ranked.

        Args:
            scores: of tensors of the masks' shapes.
            keeps: how many to keep: of all tensors together, or of each.
        """
        every = range(len(self.masks))
        groups = [[number] for number in every] if len(keeps) == len(self.masks) else [list(every)]
        for group, keep in zip(groups, keeps, strict=True):
            if keep != sum(self.counts[number] for number in group):
                self._keep_highest(scores, group, keep)

    def _keep_highest(self, scores: ScoreReader, group: Sequence[int], keep: int) -> None:
        for low, high in (self._bracket(scores, group, keep), (-math.inf, math.inf)):
            between, places, counts = self._between(scores, group, low, high)
            above = sum(counts) - len(between)
            if above <= keep <= sum(counts):
                break
            for number in group:
                scores.restore(number)
        else:
            raise ValueError("scores: expected finite ones, got NaN")
        goes = _lowest(between, len(between) - (keep - above))
        parts = goes.split([len(place) for place in places])
        for number, count, place, going in zip(group, counts, places, parts, strict=True):
            kept, gone = self._next[number], place[going]
            self.counts[number] = count - len(gone)
            assert kept is not None  # _between has just made it
            kept.view(-1)[gone] = False
            scores.drop_at(number, gone)
            self.masks[number], self._next[number] = kept, self.masks[number]

    def _bracket(self, scores: ScoreReader, group: Sequence[int], keep: int) -> tuple[float, float]:
        """Two values between which a sample says that the ``keep``-th highest score lies."""
        masks = [self.masks[number] for number in group]
        blocks, alive = sum(mask.numel() for mask in masks), sum(self.counts[number] for number in group)
        if alive <= 4 * _SAMPLE:
            return -math.inf, math.inf
        generator = torch.Generator(masks[0].device).manual_seed(0)
        parts = []
        for number, mask in zip(group, masks, strict=True):
            size = -(-_SAMPLE * mask.numel() // blocks)
            places = torch.randint(mask.numel(), (size,), generator=generator, device=mask.device)
            parts.append(scores.at(number, places[mask.view(-1).index_select(0, places)]))
        sample = torch.cat(parts)
        rank = (1.0 - keep / alive) * len(sample)
        margin = 4.0 * math.sqrt(rank * keep / alive) + 4.0  # four standard deviations of the rank
        below, above = int(rank - margin), int(rank + margin)
        return (
            float(sample.kthvalue(below).values) if below > 0 else -math.inf,
            float(sample.kthvalue(above).values) if above <= len(sample) else math.inf,
        )

    def _between(
        self, scores: ScoreReader, group: Sequence[int], low: float, high: float
    ) -> tuple[Tensor, list[Tensor], list[int]]:
        """The survivors' scores from ``low`` to ``high``, where they are, and how many are not below ``low``.

        Leaves in ``_next`` the masks of those from ``low`` up.
        """
        values, places, counts = [], [], []
        for number in group:
            mask, whole = self.masks[number], self._next[number]
            if whole is None or whole.shape != mask.shape:
                whole = self._next[number] = torch.empty_like(mask)
            start, here = 0, []
            for part in scores.parts(number):
                kept, alive = whole.view(-1)[start : start + len(part)], mask.view(-1)[start : start + len(part)]
                torch.ge(part, low, out=kept)
                if low <= 0:  # else what is pruned, and scored zero, is below it
                    kept.logical_and_(alive)
                place = _positions((part <= high).logical_and_(kept))
                values.append(part.index_select(0, place))
                here.append(place.add_(start))
                start += len(part)
                scores.drop(low)
            places.append(torch.cat(here) if here else torch.empty(0, dtype=torch.long, device=mask.device))
            counts.append(int(whole.count_nonzero()))
        return torch.cat(values), places, counts

    def compact(self, number: int) -> Channels | None:
        """Hold one tensor as the block of its living channels, if that saves enough; which these are of the block."""
        mask = self.masks[number]
        pairs = mask.flatten(2).any(2) if mask.dim() > 2 else mask
        outputs, inputs = _positions(pairs.any(1)), _positions(pairs.any(0))
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


def _lowest(values: Tensor, count: int) -> Tensor:
    """Mark the ``count`` lowest of a vector; of equal ones the last."""
    marks = torch.zeros_like(values, dtype=torch.bool)
    if count:
        threshold = values.kthvalue(count).values
        torch.lt(values, threshold, out=marks)
        ties = _positions(values == threshold)
        marks[ties[len(ties) - (count - int(marks.count_nonzero())) :]] = True
    return marks


def _counts(masks: Sequence[Tensor]) -> list[int]:
    counts: list[int] = torch.stack([mask.count_nonzero() for mask in masks]).tolist() if masks else []
    return counts


def _positions(marks: Tensor) -> Tensor:
    """The flat indices of what is marked."""
    flat = marks.reshape(-1)
    if len(flat) % 8 or flat.storage_offset() % 8:
        return flat.nonzero().squeeze(1)
    groups = flat.view(torch.int64).nonzero()  # eight marks at a time, which is quicker where few are
    within = flat.view(-1, 8).index_select(0, groups.squeeze(1)).nonzero()
    return groups.squeeze(1).index_select(0, within[:, 0]).mul_(8).add_(within[:, 1])


def check_amount(amount: Any) -> None:
    """Raise unless ``amount`` is a fraction between 0 and 1 or a count."""
    if isinstance(amount, bool) or not isinstance(amount, numbers.Real):
        raise TypeError(f"amount: expected a float between 0 and 1 or an int, got {amount!r}")
    if isinstance(amount, numbers.Integral):
        if amount < 0:
            raise ValueError(f"amount: expected a count of at least 0, got {amount}")
    elif math.isnan(amount) or not 0.0 <= float(amount) <= 1.0:
        raise ValueError(
            f"amount: expected a float between 0 and 1 (a fraction of the entries not yet pruned), got {amount!r}; "
            "an int is a count of entries"
        )


def to_remove(amount: Any, alive: int) -> int:
    """How many of ``alive`` entries ``amount`` removes, rounded as torch rounds."""
    if not isinstance(amount, numbers.Integral):
        return round(float(amount) * alive)
    if int(amount) > alive:
        raise ValueError(f"amount: expected at most {alive}, the number of entries not yet pruned, got {amount}")
    return int(amount)
