"""The scores of several tensors as a stream that selection reads one part at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor


class ScoreStream:
    """The scores of several tensors, read one part at a time, so they need not all exist at once.

    A place is the index of an element in the concatenation of all flattened tensors. This stream holds its scores. A
    subclass can compute them in :meth:`at` and :meth:`parts`.

    Args:
        tensors: the scores.
        joined: the vector of which the tensors are consecutive views, if there is one; it is read in one part.

    Attributes:
        starts: the place at which each tensor starts, and finally the total number of elements.
        error: the largest relative error of the scores of :meth:`parts` above ``floor``.
        floor: see ``error``.
    """

    error: float = 0.0
    floor: float = 0.0

    def __init__(self, tensors: Sequence[Tensor], joined: Tensor | None = None) -> None:
        self.starts = [0, *accumulate(tensor.numel() for tensor in tensors)]
        self._tensors = [tensor.reshape(-1) for tensor in tensors]
        self._joined = joined

    def at(self, places: Tensor) -> Tensor:
        """The scores at ascending places, without error."""
        if self._joined is not None:
            return self._joined.index_select(0, places)
        return torch.cat([self._tensors[number].index_select(0, here) for number, here in self.by_tensor(places)])

    def parts(self, tensors: range) -> Iterator[tuple[Tensor, float]]:
        """The scores of consecutive tensors, as vectors that are valid until the next request, and their unit."""
        if self._joined is not None:
            yield self._joined[self.starts[tensors.start] : self.starts[tensors.stop]], 1.0
        else:
            yield from ((self._tensors[number], 1.0) for number in tensors)

    def exactly(self) -> None:
        """Give parts without error from now on."""
        self.error = self.floor = 0.0

    def by_tensor(self, places: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Ascending places as the numbers of tensors and the flat indices in each."""
        bounds: list[int] = torch.searchsorted(places, places.new_tensor(self.starts)).tolist()
        for number, (first, last) in enumerate(pairwise(bounds)):
            if (
                first < last or number == len(bounds) - 2
            ):  # the last one even if it is empty, because a sum has one term
                yield number, places[first:last] - self.starts[number]

    def is_positive(self, number: int) -> bool:
        """Whether one tensor has a score above zero."""
        if any(bool((part > 0).any()) for part, _ in self.parts(range(number, number + 1))):
            return True
        if not self.error:
            return False
        self.exactly()  # the dtype of the parts may be too narrow for them
        return self.is_positive(number)

    def whole(self, number: int) -> Tensor:
        """All scores of one tensor as one vector."""
        self.exactly()
        return torch.cat([part * unit for part, unit in self.parts(range(number, number + 1))])


class RankedFirst(ScoreStream):
    """A stream in which some scores rank above all others.

    Args:
        scores: the stream.
        places: the places of these scores, ascending.
    """

    def __init__(self, scores: ScoreStream, places: Tensor) -> None:
        self.starts, self.error, self.floor = scores.starts, scores.error, scores.floor
        self._scores = scores
        self._places = places

    def at(self, places: Tensor) -> Tensor:
        """The scores at ascending places, without error."""
        return self._scores.at(places).masked_fill(torch.isin(places, self._places), math.inf)

    def parts(self, tensors: range) -> Iterator[tuple[Tensor, float]]:
        """The scores of consecutive tensors, as vectors that are valid until the next request, and their unit."""
        start = self.starts[tensors.start]
        for part, unit in self._scores.parts(tensors):
            first, last = torch.searchsorted(self._places, self._places.new_tensor([start, start + len(part)])).tolist()
            yield part if first == last else part.index_fill(0, self._places[first:last] - start, math.inf), unit
            start += len(part)

    def exactly(self) -> None:
        """Give parts without error from now on."""
        super().exactly()
        self._scores.exactly()
