"""Scores that ranks compute together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from torch_synflow.model.parameters import Entry, unwrap
from torch_synflow.parallel.ranks.agreement import require_same
from torch_synflow.parallel.ranks.description import described
from torch_synflow.parallel.ranks.exchange import broadcast, sums_of
from torch_synflow.parallel.ranks.meeting import Meeting
from torch_synflow.scoring.task import Task


def scored_together(
    meeting: Meeting | None, method: type, task: Task, entries: Sequence[Entry], score: Callable[[Task], list[Tensor]]
) -> list[Tensor]:
    """The scores of each entry, equal on all ranks: with the data of all ranks, or without data from the first rank.

    Args:
        meeting: the ranks, or ``None`` for this one alone.
        method: the class that scores.
        task: what this rank scores with.
        entries: the tensors.
        score: the scores with a task.
    """
    if meeting is None:
        return score(task)
    assert task.model is not None  # checked before
    settings = {"loss_fn": task.loss_fn, "outputs": task.outputs}
    require_same(meeting, described(entries, unwrap(task.model), method, settings))
    found: list[Tensor] = []
    if task.data is not None:
        found = score(replace(task, add_up=sums_of(meeting)))
    elif meeting.first:
        found = score(task)
    dtypes: list[torch.dtype] = meeting.tell([tensor.dtype for tensor in found])
    if not found:
        found = [torch.empty_like(e.parameter, dtype=dtype) for e, dtype in zip(entries, dtypes, strict=True)]
    broadcast(meeting, found)
    return found
