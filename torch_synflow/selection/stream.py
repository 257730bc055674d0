"""Scores of several tensors as selection reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


class ScoreStream:
    """The scores of several tensors, read a part at a time, so that they need not all exist at once.

    This one holds them. A subclass may compute them; it gives :meth:`at` and :meth:`parts`.

    Args:
        tensors: the scores.

    Attributes:
        drops: whether :meth:`drop` sets weights to zero.
        error: the relative error that scores may have as :meth:`parts` gives them, for those above ``floor``.
        floor: see ``error``.
        budget: what the scores that go may amount to together at most, where fewer may go than was asked for.
    """

    drops: bool = False
    error: float = 0.0
    floor: float = 0.0
    budget: float = math.inf

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._flat = [tensor.reshape(-1) for tensor in tensors]

    def at(self, number: int, places: Tensor) -> Tensor:
        """The scores at flat indices of one tensor, without error."""
        return self._flat[number].index_select(0, places)

    def parts(self, number: int) -> Iterator[tuple[Tensor, float]]:
        """All scores of one tensor in order, as vectors that hold until the next is asked for, and their unit."""
        yield self._flat[number], 1.0

    def exactly(self) -> None:
        """Told to give parts without error from now on."""
        self.error = self.floor = 0.0

    def drop(self, stays: Tensor) -> None:
        """Told which entries of the last part are not to go, by ones and zeros; the part is no longer needed."""

    def drop_at(self, number: int, places: Tensor) -> None:
        """Told of others of one tensor that are not kept."""

    def restore(self, number: int) -> None:
        """Told that the bracket was wrong, so that nothing of what was told of a tensor holds."""

    def whole(self, number: int) -> Tensor:
        """All scores of one tensor as one vector."""
        self.exactly()
        return torch.cat([part * unit for part, unit in self.parts(number)])
