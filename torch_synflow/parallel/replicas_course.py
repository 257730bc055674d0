"""The rounds of one call on ranks that hold the same model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from torch_synflow.methods.rounds import Rounds
from torch_synflow.model.parameters import Entry
from torch_synflow.parallel.course import Course
from torch_synflow.parallel.ranks.exchange import broadcast, sums_of
from torch_synflow.parallel.ranks.meeting import Meeting
from torch_synflow.selection.quotas import Quota
from torch_synflow.selection.survivors import Survivors


class ReplicasCourse(Course):
    """The rounds of a call on ranks that hold the same model, as under ``DistributedDataParallel``.

    If a method reads data, all ranks score it with their own data, and their sums are added. The first rank alone
    scores any other method. Masks are always those of the first rank, so they are equal bit for bit.
    """

    def __init__(self, meeting: Meeting, rounds: Rounds, entries: Sequence[Entry]) -> None:
        super().__init__(rounds, entries)
        self._meeting = meeting
        self.speaks = meeting.first
        self._all_score = rounds.reads_data
        self._counts: Sequence[int] = [entry.alive for entry in entries]
        if self._all_score:
            rounds.task = replace(rounds.task, add_up=sums_of(meeting))

    @property
    def counts(self) -> Sequence[int]:
        """The number of elements left of each tensor."""
        return self._counts

    def start(self, last: Quota) -> None:
        """Begin, on the ranks that score."""
        if self._all_score or self._meeting.first:
            super().start(last)

    def prune(self, quota: Quota) -> None:
        """One iteration, after which every rank knows the number of elements left."""
        if not self._all_score:
            if self._meeting.first:
                super().prune(quota)
                self._counts = self._survivors.counts
            self._counts = self._meeting.tell(self._counts)
            return
        self._survivors = self._at_work.select(self._survivors, quota)
        self._survivors = self._of_first(self._survivors)
        self._counts = self._survivors.counts
        self._at_work.apply(self._survivors)

    def masks(self) -> list[Tensor]:
        """The masks of the first rank, on every rank."""
        if not self._all_score:
            self._survivors = self._of_first(self._survivors)
        return super().masks()

    def settle(self) -> None:
        """Wait until every rank has its masks."""
        self._meeting.meet()

    def _of_first(self, survivors: Survivors) -> Survivors:
        masks = [survivors.whole(number).clone() for number in range(len(self._entries))]
        broadcast(self._meeting, masks)
        return Survivors(masks)
