"""The rounds of one call, in this process alone, or shared by ranks that hold the same model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from torch_synflow.methods.rounds import Rounds
from torch_synflow.model.layout import is_sharded
from torch_synflow.model.parameters import Entry
from torch_synflow.parallel.ranks.agreement import require_same
from torch_synflow.parallel.ranks.exchange import broadcast, sums_of
from torch_synflow.parallel.ranks.meeting import Meeting
from torch_synflow.parallel.sharded_course import ShardedCourse
from torch_synflow.selection.quotas import Quota
from torch_synflow.selection.survivors import Survivors


class Course:
    """The rounds of a call in one process.

    Args:
        rounds: the method at work.
        entries: the tensors.

    Attributes:
        speaks: whether this process shows progress.
    """

    speaks = True

    def __init__(self, rounds: Rounds, entries: Sequence[Entry]) -> None:
        self._rounds: Rounds | None = rounds
        self._entries = entries
        self._survivors = Survivors([entry.mask for entry in entries])

    @property
    def counts(self) -> Sequence[int]:
        """How many elements are left of each tensor."""
        return self._survivors.counts

    def start(self, last: Quota) -> None:
        """Begin, with what is to be left in the end."""
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
        """How many elements are left of each tensor."""
        return self._counts

    def start(self, last: Quota) -> None:
        """Begin, on the ranks that score."""
        if self._all_score or self._meeting.first:
            super().start(last)

    def prune(self, quota: Quota) -> None:
        """One iteration, of which every rank learns how many elements it has left."""
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


def course_of(
    meeting: Meeting | None, rounds: Rounds, entries: Sequence[Entry], description: Callable[[], Mapping[str, str]]
) -> Course | ShardedCourse:
    """How the rounds of a call are run; before them, ranks that differ in what the call is about end with an error."""
    if meeting is not None:
        require_same(meeting, description())
    if any(is_sharded(entry.parameter) for entry in entries):
        return ShardedCourse(meeting, rounds, entries)
    if meeting is None:
        return Course(rounds, entries)
    return ReplicasCourse(meeting, rounds, entries)
