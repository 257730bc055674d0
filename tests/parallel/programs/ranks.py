"""What the programs share: the group, a model, data of which each rank has a part, and how results are kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from torch_synflow import prune

Batch = tuple[Tensor, Tensor]


def join(seconds: float) -> int:
    """Make the default group, with a timeout; returns the rank."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=seconds))
    return dist.get_rank()


def save(result: Any) -> None:
    """Keep a rank's result for the test."""
    torch.save(result, Path(sys.argv[1]) / f"{dist.get_rank()}.pt")


def small_net(seed: int = 0) -> nn.Sequential:
    """A network in float64, so that the order of sums decides nothing, with BatchNorm."""
    torch.manual_seed(seed)
    layers = nn.Linear(8, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 4)
    return nn.Sequential(*layers).double()


def all_batches() -> list[Batch]:
    """Five batches of different sizes."""
    generator = torch.Generator().manual_seed(5)
    sizes = (6, 9, 4, 7, 5)
    return [
        (torch.rand(n, 8, generator=generator).double(), torch.randint(4, (n,), generator=generator)) for n in sizes
    ]


def own_batches() -> list[Batch]:
    """Those of this rank: two on rank 0, the rest on rank 1, or one by one in turn on more ranks."""
    batches, rank, size = all_batches(), dist.get_rank(), dist.get_world_size()
    return (batches[:2], batches[2:])[rank] if size == 2 else batches[rank::size]


def masks_of(model: nn.Module) -> dict[str, Tensor]:
    """The masks of a model by its modules' names."""
    return {name: buffer.clone() for name, buffer in model.named_buffers() if name.endswith("_mask")}


def error_of(work: Callable[[], object]) -> tuple[str, str, float]:
    """The type and text of the error that ``work`` ends with, and after how many seconds."""
    start = time.monotonic()
    try:
        work()
    except BaseException as error:  # an interrupt too
        return type(error).__name__, str(error), time.monotonic() - start
    return "", "", time.monotonic() - start


def is_untouched(model: nn.Module) -> bool:
    """Whether nothing of a pruning is on a model."""
    hooks = any(module._forward_pre_hooks for module in model.modules())
    return not hooks and not prune.is_pruned(model) and not masks_of(model)
