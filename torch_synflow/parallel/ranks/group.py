"""Which ranks prune together: those of the default process group, unless the caller says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch.distributed as dist

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

#: what the caller has said: nothing, a group, or none
_CHOSEN: ContextVar[tuple[ProcessGroup | None] | None] = ContextVar("torch_synflow_process_group", default=None)


def group_of_call() -> ProcessGroup | None:
    """The group whose ranks make a call together, if it has more than one."""
    if not dist.is_available() or not dist.is_initialized():
        return None
    chosen = _CHOSEN.get()
    group = dist.group.WORLD if chosen is None else chosen[0]
    return group if group is not None and dist.get_world_size(group) > 1 else None


@contextmanager
def alone() -> Iterator[None]:
    """Within it a rank prunes its model on its own, with its own data, and waits for no other.

    For a model that other ranks do not hold (a stage of a pipeline), and for what one rank does before the others get
    its model.

    Example:
        >>> from torch_synflow import parallel
        >>> model = nn.Linear(8, 4)
        >>> with parallel.alone():
        ...     report = prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
        >>> report.kept
        16
    """
    token = _CHOSEN.set((None,))
    try:
        yield
    finally:
        _CHOSEN.reset(token)


@contextmanager
def within(group: ProcessGroup) -> Iterator[None]:
    """Within it the ranks of a group prune together, rather than those of the default group.

    Args:
        group: what ``torch.distributed.new_group`` returned; this process is one of its ranks.

    Raises:
        TypeError, ValueError: if it is no group, or one that this process is not in.

    Example:
        >>> from torch_synflow import parallel
        >>> def prune_replicas(model, group):
        ...     with parallel.within(group):
        ...         return prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    """
    if not dist.is_available() or not isinstance(group, dist.ProcessGroup):
        raise TypeError(
            "group: expected a process group that this process is in, as torch.distributed.new_group returns it, "
            f"got {group!r}; with parallel.alone(): is for a process that is in none"
        )
    token = _CHOSEN.set((group,))
    try:
        yield
    finally:
        _CHOSEN.reset(token)
