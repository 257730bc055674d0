"""The exact number of highest scores that are spread over ranks, by histograms summed over ranks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from torch_synflow.model.layout import Layout
from torch_synflow.selection.histogram import keys_of
from torch_synflow.selection.quotas import Quota
from torch_synflow.selection.stream import ScoreStream
from torch_synflow.selection.survivors import Element, Survivors
from torch_synflow.selection.threshold import indices_of

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
    """The kept elements of tensors that are spread over ranks.

    Ranks call everything but :attr:`masks` and :meth:`copy` together. An ``Element`` is the number of a tensor and a
    flat index in the whole of it.

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
        super().__init__(masks)

    @property
    def counts(self) -> list[int]:
        """How many elements each whole tensor keeps."""
        if self._counts is None:
            pairs = zip(self.masks, self._counted, strict=True)
            found = torch.stack([mask.count_nonzero() * counted for mask, counted in pairs])
            self._add_up(found)
            self._counts = found.tolist()
        return self._counts

    def keep_highest(self, scores: ScoreStream, quota: Quota) -> None:
        """As for whole tensors; ties go to the earlier tensor, then to the lower index in the whole one."""
        super().keep_highest(scores, quota)
        self.total = sum(self.counts)  # now, because later perhaps not all ranks ask for them

    def without(self, other: Survivors) -> list[Element]:
        """The elements that are missing in ``other``, a copy of these, on all ranks."""

        def missing(number: int) -> Tensor:
            return indices_of(self.masks[number] & ~other.masks[number])

        every, count = range(len(self.masks)), self.total - other.total
        return [self._element(self._nth_place(n, every, missing)) for n in range(1, count + 1)]

    def highest(self, scores: ScoreStream, number: int) -> Element:
        """The element of one tensor with the highest score."""
        one, group = self.copy(), range(number, number + 1)
        one._keep_of(scores, group, self.counts[number], 1)
        return self._element(self._nth_place(1, group, lambda number: indices_of(one.masks[number])))

    def places(self, elements: Iterable[Element]) -> Tensor:
        """The ascending places of elements of this rank in the concatenation of its flattened parts."""
        device, listed = self._now[0].device, list(elements)
        found = [torch.empty(0, dtype=torch.int64, device=device)]
        for number in sorted({number for number, _ in listed}):
            wanted = torch.tensor([index for other, index in listed if other == number], device=device)
            every = torch.arange(self.masks[number].numel(), device=device)
            here = torch.isin(self._in_all(number, every), wanted + self._places[number])
            found.append(indices_of(here) + self._starts[number])
        return torch.cat(found)

    def _keep_of(self, scores: ScoreStream, group: range, alive: int, keep: int) -> None:
        """Keep the highest scores of consecutive tensors, by the whole ones."""
        if not keep:
            for number in group:
                self.masks[number].zero_()
            return

        def keys() -> Iterator[Tensor]:
            for number in group:
                if self._counted[number]:
                    for score, left in self._chunks(scores, number):
                        yield keys_of(score[left])

        def ties(number: int) -> Tensor:
            found = [
                indices_of(left & (keys_of(score) == threshold)) + start * _CHUNK
                for start, (score, left) in enumerate(self._chunks(scores, number))
            ]
            return torch.cat(found)

        threshold, rank, equal = nth_highest(keys, keep, self._add_up, self._now[0].device)
        last = self._nth_place(rank, group, ties) if rank < equal else self._places[-1]
        for number in group:
            too_late = None
            if rank < equal:
                tied = ties(number)
                too_late = tied[self._in_all(number, tied) > last]
            for score, left in self._chunks(scores, number):
                left.logical_and_(keys_of(score) >= threshold)
            if too_late is not None:
                self.masks[number].view(-1)[too_late] = False

    def _chunks(self, scores: ScoreStream, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Scores of a tensor and views of its mask, so many at a time."""
        ((flat, _),) = scores.parts(range(number, number + 1))
        yield from zip(flat.split(_CHUNK), self.masks[number].view(-1).split(_CHUNK), strict=True)

    def _nth_place(self, n: int, numbers: Iterable[int], found: Callable[[int], Tensor]) -> int:
        """The ``n``-th place, in all whole tensors, of the elements of all ranks that ``found`` gives of each part."""

        def places() -> Iterator[Tensor]:
            for number in numbers:
                if self._counted[number]:
                    yield -self._in_all(number, found(number))

        return -nth_highest(places, n, self._add_up, self._now[0].device)[0]

    def _in_all(self, number: int, indices: Tensor) -> Tensor:
        """The places, in the concatenation of all flattened whole tensors, of flat indices of a part."""
        layout = self._layouts[number]
        where = indices if layout is None else layout.places(indices.device)[indices]
        return where + self._places[number]

    def _element(self, place: int) -> Element:
        number = bisect_right(self._places, place) - 1
        return number, place - self._places[number]
