"""The store, the timeout and the devices of a process group."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store
    from torch.distributed import ProcessGroup


def store_of(group: ProcessGroup) -> Store:
    """The store that the ranks of a group share, under a prefix of the group's own."""
    store: Store | None = (
        dist.distributed_c10d._get_default_store()
    )  # imported by name here, because not every build of torch has it
    if store is None:
        raise ValueError(
            f"process group: expected one with a store, got one of the backend {dist.get_backend(group)}; use gloo, "
            "nccl, or cpu:gloo,cuda:nccl"
        )
    return prefixed(f"torch_synflow/{group.group_name}", store)


def prefixed(prefix: str, store: Store) -> Store:
    """The same store, with a prefix before each key."""
    return dist.distributed_c10d.PrefixStore(prefix, store)


def timeout_of(group: ProcessGroup) -> timedelta:
    """The time that a rank waits for the others, set by ``init_process_group(timeout=...)``."""
    backend: Any = group._get_backend(devices_of(group)[0])
    found: timedelta = backend.options._timeout
    return found


def devices_of(group: ProcessGroup) -> list[torch.device]:
    """The device types whose tensors a group exchanges, the CPU first."""
    found: list[torch.device] = group._device_types
    return sorted(found, key=lambda device: device.type != "cpu")
