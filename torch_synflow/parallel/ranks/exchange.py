"""Exchanging tensors between the ranks of a meeting."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.distributed as dist
from torch import Tensor

from torch_synflow._torch.process_groups import devices_of
from torch_synflow.parallel.ranks.meeting import Meeting


def broadcast(meeting: Meeting, tensors: Iterable[Tensor]) -> None:
    """Give tensors of every rank the values of the first rank's, in place."""
    source = dist.get_global_rank(meeting.group, 0)
    _exchange(meeting, tensors, lambda tensor: dist.broadcast(tensor, source, group=meeting.group))


def add_up(meeting: Meeting, tensors: Iterable[Tensor]) -> None:
    """Give tensors of every rank the sum over all ranks, in place."""
    _exchange(meeting, tensors, lambda tensor: dist.all_reduce(tensor, group=meeting.group))


def greatest(meeting: Meeting, tensors: Iterable[Tensor]) -> None:
    """Give tensors of every rank the greatest elements over all ranks, in place."""
    _exchange(meeting, tensors, lambda tensor: dist.all_reduce(tensor, dist.ReduceOp.MAX, group=meeting.group))


def sums_of(meeting: Meeting) -> Callable[[dict[str, Tensor], int], int]:
    """A function that adds the sums over the data of each rank, and the numbers of examples."""

    def all_sums(sums: dict[str, Tensor], examples: int) -> int:
        device = next(iter(sums.values())).device
        number = torch.tensor([examples], dtype=torch.int64, device=device)
        add_up(meeting, [number, *sums.values()])
        return int(number)

    return all_sums


def _exchange(meeting: Meeting, tensors: Iterable[Tensor], send: Callable[[Tensor], object]) -> None:
    """``send`` for each tensor, on a device whose tensors the group exchanges, once all ranks are there."""
    kinds = devices_of(meeting.group)
    pairs = []
    for tensor in tensors:
        here = tensor.device.type in [kind.type for kind in kinds] and tensor.is_contiguous()
        sent = tensor if here else tensor.contiguous().to(kinds[0])
        pairs.append((tensor, sent))
    meeting.meet()
    try:
        with torch.no_grad():
            for tensor, sent in pairs:
                send(sent)
                if sent is not tensor:
                    tensor.copy_(sent)
    except (RuntimeError, OSError) as error:
        raise meeting.lost(error) from error
