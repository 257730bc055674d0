"""Ranks that hold parts of one model count the whole weights that are in memory at a time while they score it."""

from __future__ import annotations

import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint

from tests.parallel.programs.ranks import join, save
from torch_synflow import prune
from torch_synflow.model.layout import Layout

DEPTH, WIDTH = 8, 16
#: seconds within which the threads of the backend let go of what they gathered
LET_GO = 5.0


def most_allowed(name: str, method: str) -> int:
    """One; GraSP's second derivative reads a view of a weight while that of the next layer is there."""
    return 2 if (name, method) == ("views", "GraSP") else 1


class Transposed(nn.Module):
    """Reads its weight once, and keeps but a view of it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        view = self.weight.t()
        return (x.relu() @ view) / WIDTH


class Checkpointed(nn.Sequential):
    """Whose layers run again in the backward."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = checkpoint(layer, x, use_reentrant=False)
        return x


def most_at_a_time(allowed: int, kind: type[nn.Sequential], make: Any, method: str, **given: Any) -> int:
    """How many whole weights were in memory at most while a model of ``DEPTH`` such layers was scored.

    A thread of the backend may hold the last one a moment longer. While this rank waits for it, nothing else changes.
    """
    torch.manual_seed(0)
    model = kind(*[make() for _ in range(DEPTH)])
    for layer in model:
        fully_shard(layer)
    fully_shard(model)
    there: list[StorageWeakRef] = []
    most = 0
    original = Layout.whole

    def whole(self: Layout, part: Tensor) -> Tensor:
        nonlocal most
        made = original(self, part)
        if made.dim() == 2:
            there.append(StorageWeakRef(made.untyped_storage()))
            end = time.monotonic() + (LET_GO if most <= allowed else 0)
            while True:
                there[:] = [each for each in there if not each.expired()]
                if len(there) <= allowed or time.monotonic() > end:
                    break
                time.sleep(0.001)
            most = max(most, len(there))
        return made

    Layout.whole = whole  # type: ignore[method-assign]
    try:
        prune.global_iterative_unstructured(
            [(layer, "weight") for layer in model], getattr(prune, method), 0.5, model=model, **given
        )
    finally:
        Layout.whole = original  # type: ignore[method-assign]
    return most


if __name__ == "__main__":
    join(60)
    x = torch.rand(2, 3, WIDTH)
    data: dict[str, Any] = {"data": (x, torch.rand_like(x)), "loss_fn": F.mse_loss}
    flow: dict[str, Any] = {"example_inputs": x, "iterations": 2}
    kinds: dict[str, Any] = {
        "linear": (nn.Sequential, lambda: nn.Linear(WIDTH, WIDTH)),
        "views": (nn.Sequential, Transposed),
        "checkpoints": (Checkpointed, lambda: nn.Linear(WIDTH, WIDTH)),
    }
    found = {
        (name, method): most_at_a_time(most_allowed(name, method), *made, method, **given)
        for name, made in kinds.items()
        for method, given in (("SNIP", data), ("GraSP", data), ("SynFlow", flow))
    }
    save(found)
    torch.distributed.destroy_process_group()
