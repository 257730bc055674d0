"""The choice of a course: one process, ranks with the same model, or ranks with parts of one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch_synflow.methods.rounds import Rounds
from torch_synflow.model.layout import is_sharded
from torch_synflow.model.parameters import Entry
from torch_synflow.parallel.course import Course
from torch_synflow.parallel.ranks.agreement import require_same
from torch_synflow.parallel.ranks.description import listed_in_words
from torch_synflow.parallel.ranks.meeting import Meeting
from torch_synflow.parallel.replicas_course import ReplicasCourse
from torch_synflow.parallel.sharded_course import ShardedCourse


def agree_on_parts(meeting: Meeting | None, entries: Sequence[Entry], arguments: Mapping[str, object]) -> None:
    """End ranks that prune different sharded tensors with an error, before they count elements together."""
    if meeting is not None and any(is_sharded(entry.parameter) for entry in entries):
        require_same(meeting, listed_in_words(entries, arguments))


def course_of(
    meeting: Meeting | None, rounds: Rounds, entries: Sequence[Entry], description: Callable[[], Mapping[str, str]]
) -> Course:
    """The course of a call. Before it, ranks whose calls differ end with an error."""
    if meeting is not None:
        require_same(meeting, description())
    if any(is_sharded(entry.parameter) for entry in entries):
        return ShardedCourse(meeting, rounds, entries)
    if meeting is None:
        return Course(rounds, entries)
    return ReplicasCourse(meeting, rounds, entries)
