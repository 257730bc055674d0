"""The rounds of one call in this process, and the common part of rounds of several processes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from torch_synflow.methods.rounds import Rounds
from torch_synflow.model.parameters import Entry
from torch_synflow.selection.quotas import Quota
from torch_synflow.selection.survivors import Survivors


class Course:
    """The rounds of a call in one process.

    Args:
        rounds: the method at work.
        entries: the tensors.
        survivors: the kept elements, by default those that their masks keep.

    Attributes:
        speaks: whether this process shows progress.
    """

    speaks = True

    def __init__(self, rounds: Rounds, entries: Sequence[Entry], survivors: Survivors | None = None) -> None:
        self._rounds: Rounds | None = rounds
        self._entries = entries
        self._survivors = survivors or Survivors([entry.mask for entry in entries])

    @property
    def counts(self) -> Sequence[int]:
        """The number of elements left of each tensor."""
        return self._survivors.counts

    def start(self, last: Quota) -> None:
        """Begin, given the elements to keep in the end."""
        self._at_work.start(self._entries, last)

    def prune(self, quota: Quota) -> None:
        """One iteration."""
        self._survivors = self._at_work.select(self._survivors, quota)
        self._at_work.apply(self._survivors)

    def masks(self) -> list[Tensor]:
        """The boolean mask of each tensor after the last iteration; the copies for scoring are released."""
        self._rounds = None  # with its copies of the weights, before the masks come
        return [self._survivors.whole(number) for number in range(len(self._entries))]

    def settle(self) -> None:
        """Agree that the masks are on the model, as the last step that can fail."""

    @property
    def _at_work(self) -> Rounds:
        assert self._rounds is not None  # until the masks are asked for
        return self._rounds
