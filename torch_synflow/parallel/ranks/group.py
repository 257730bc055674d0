"""The ranks that prune together: those of the default process group, unless the caller chooses others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch.distributed as dist

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

#: the choice of the caller: no choice, a group, or no group
_CHOSEN: ContextVar[tuple[ProcessGroup | None] | None] = ContextVar("torch_synflow_process_group", default=None)


def group_of_call() -> ProcessGroup | None:
    """The group whose ranks make a call together, if it has more than one rank."""
    if not dist.is_available() or not dist.is_initialized():
        return None
    chosen = _CHOSEN.get()
    group = dist.group.WORLD if chosen is None else chosen[0]
    return group if group is not None and dist.get_world_size(group) > 1 else None


@contextmanager
def alone() -> Iterator[None]:
    """Make this rank prune its model alone, with its own data, without waiting for other ranks.

    Use it for a model that other ranks do not hold (a stage of a pipeline), and for work of one rank before the others
    get its model.

    Returns:
        A context manager.

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
    """Make the ranks of a group prune together, instead of those of the default group.

    Args:
        group: a process group from ``torch.distributed.new_group`` that contains this process.

    Returns:
        A context manager.

    Raises:
        TypeError, ValueError: if ``group`` is not a process group, or does not contain this process.

    Example:
        >>> from torch_synflow import parallel
        >>> def prune_replicas(model, group):
        ...     with parallel.within(group):
        ...         return prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    """
    if not dist.is_available() or not isinstance(group, dist.ProcessGroup):
        raise TypeError(
            "group: expected a process group from torch.distributed.new_group that contains this process, got "
            f"{group!r}; for a process in no group, use `with parallel.alone():`"
        )
    token = _CHOSEN.set((group,))
    try:
        yield
    finally:
        _CHOSEN.reset(token)
