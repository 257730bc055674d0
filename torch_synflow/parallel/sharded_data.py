"""The batches of all ranks on each rank, because ranks that hold parts of a model must run it together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch.distributed as dist

from torch_synflow.parallel.ranks.meeting import Meeting


class BatchesOfAllRanks:
    """The first batch of each rank in order, then the second ones, up to the last batch of any rank.

    Args:
        meeting: the ranks.
        data: the batches of this one.
    """

    def __init__(self, meeting: Meeting, data: Iterable[Any]) -> None:
        self._meeting = meeting
        self._data = data

    def __iter__(self) -> Iterator[Any]:
        """Read the batches once more, all ranks in step."""
        own = iter(self._data)
        while True:
            batch = next(own, None)
            given: list[Any] = [None] * self._meeting.size
            self._meeting.meet()
            try:
                dist.all_gather_object(given, batch, group=self._meeting.group)
            except (RuntimeError, OSError) as error:
                raise self._meeting.lost(error) from error
            if all(each is None for each in given):
                return
            yield from (each for each in given if each is not None)
