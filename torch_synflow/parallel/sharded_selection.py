"""The exact number of highest scores, of which each rank has a part, by histograms summed over ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from torch_synflow.model.layout import Layout
from torch_synflow.selection.histogram import keys_of
from torch_synflow.selection.quotas import Quota, Together
from torch_synflow.selection.survivors import Survivors

#: so many bits of a key are counted at a time
_BITS = 16
#: so many elements are looked at at a time
_CHUNK = 1 << 22

#: gives a tensor of every rank the sum over all, in place
SumOverRanks = Callable[[Tensor], object]


def nth_highest(
    parts: Callable[[], Iterator[Tensor]], n: int, add_up: SumOverRanks, device: torch.device | str
) -> tuple[int, int, int]:
    """The ``n``-th highest of all integers of all ranks.

    Args:
        parts: those of this rank, as vectors; read four times.
        n: from one, at most how many all ranks have.
        add_up: sums over ranks.
        device: of the counts.

    Returns:
        It; which it is, from one, of those equal to it; and how many these are.

    Example:
        >>> parts = [torch.tensor([3, 5]), torch.tensor([3, -2])]
        >>> nth_highest(lambda: iter(parts), 3, lambda t: None, "cpu")
        (3, 2, 2)
    """
    bins = 1 << _BITS
    prefix, equal = 0, 0
    for shift in range(64 - _BITS, -1, -_BITS):
        counts = torch.zeros(bins, dtype=torch.int64, device=device)
        for keys in parts():
            digits = keys >> shift
            top = shift == 64 - _BITS
            digits = digits + bins // 2 if top else digits[(digits >> _BITS) == prefix] & (bins - 1)
            counts += torch.bincount(digits, minlength=bins)
        add_up(counts)
        from_top = counts.flip(0).cumsum(0)
        skipped = int((from_top < n).sum())
        digit = bins - 1 - skipped
        equal = int(counts[digit])
        n -= int(from_top[skipped]) - equal
        prefix = digit - bins // 2 if shift == 64 - _BITS else (prefix << _BITS) | digit
    return prefix, n, equal


class ShardedSurvivors(Survivors):
    """The elements that are still kept of tensors of which each rank has a part.

    Args:
        masks: of the parts of this rank.
        layouts: of the tensors; ``None`` for one that every rank has the whole of.
        sizes: how many elements the whole tensors have.
        add_up: sums over ranks.
        first: whether this is the first rank, which counts for tensors that all have.
    """

    def __init__(
        self,
        masks: Sequence[Tensor],
        layouts: Sequence[Layout | None],
        sizes: Sequence[int],
        add_up: SumOverRanks,
        *,
        first: bool,
    ) -> None:
        self._layouts = layouts
        self._add_up = add_up
        self._places = [0, *accumulate(sizes)]
        self._counted = [first if layout is None else layout.counted for layout in layouts]
        self._of_all: list[int] | None = None
        super().__init__(masks)

    @property
    def counts(self) -> list[int]:
        """How many elements each whole tensor keeps."""
        if self._of_all is None:
            pairs = zip(self.masks, self._counted, strict=True)
            found = torch.stack([mask.count_nonzero() * counted for mask, counted in pairs])
            self._add_up(found)
            self._of_all = found.tolist()
        return self._of_all

    @property
    def untouched(self) -> bool:
        """Whether no whole tensor has pruned elements."""
        return self.total == self._places[-1]

    def keep_highest_of(self, scores: Sequence[Tensor], quota: Quota) -> None:
        """Keep the highest scores; of equal ones those of the earlier tensor, then of the lower index in the whole one.

        Args:
            scores: of the masks' shapes.
            quota: how many to keep: of all tensors together, or of each.
        """
        every = range(len(self.masks))
        groups = [every] if isinstance(quota, Together) else [range(number, number + 1) for number in every]
        for group, alive, keep in zip(groups, self.sizes(quota), quota.numbers, strict=True):
            if keep < alive:
                self._keep_of(group, scores, keep)
        self._of_all = None
        self.total = sum(self.counts)

    def _keep_of(self, group: range, scores: Sequence[Tensor], keep: int) -> None:
        if not keep:
            for number in group:
                self.masks[number].zero_()
            return

        def keys() -> Iterator[Tensor]:
            for number in group:
                if self._counted[number]:
                    for score, alive in self._chunks(scores, number):
                        yield keys_of(score[alive])

        device = self.masks[0].device
        threshold, rank, equal = nth_highest(keys, keep, self._add_up, device)
        last = self._places[-1]
        if rank < equal:

            def places() -> Iterator[Tensor]:
                for number in group:
                    if self._counted[number]:
                        yield -self._ties(scores, number, threshold)[1]

            last = -nth_highest(places, rank, self._add_up, device)[0]
        for number in group:
            too_late = None
            if rank < equal:
                ties, where = self._ties(scores, number, threshold)
                too_late = ties[where > last]
            for score, alive in self._chunks(scores, number):
                alive.logical_and_(keys_of(score) >= threshold)
            if too_late is not None:
                self.masks[number].view(-1)[too_late] = False

    def _chunks(self, scores: Sequence[Tensor], number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Scores of a tensor and views of its mask, so many at a time."""
        flat, mask = scores[number].reshape(-1), self.masks[number].view(-1)
        yield from zip(flat.split(_CHUNK), mask.split(_CHUNK), strict=True)

    def _ties(self, scores: Sequence[Tensor], number: int, threshold: int) -> tuple[Tensor, Tensor]:
        """The flat indices of what is left at the threshold in a part, and the places in all whole tensors."""
        found = [
            (alive & (keys_of(score) == threshold)).nonzero().squeeze(1) + start * _CHUNK
            for start, (score, alive) in enumerate(self._chunks(scores, number))
        ]
        ties = torch.cat(found)
        layout = self._layouts[number]
        where = ties if layout is None else layout.places(ties.device)[ties]
        return ties, where + self._places[number]
