"""Tensors sharded over processes (``DTensor``): the part of this process, the whole, and counts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def is_sharded(tensor: object) -> bool:
    """Whether a tensor is a ``DTensor``; this process then holds a part or a replica."""
    loaded = sys.modules.get("torch.distributed.tensor")  # without it, there are no DTensors
    return loaded is not None and isinstance(tensor, loaded.DTensor)


def part_of(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds; all of a plain tensor."""
    if not is_sharded(tensor):
        return tensor
    held: Any = tensor.detach()
    found: Tensor = held.to_local()
    return found


def sum_of(tensor: Tensor) -> int:
    """The sum of the elements of a tensor of integers or booleans, over all processes that hold a part of it."""
    return int(whole_of(tensor.sum()))


def kept_of_groups(mask: Tensor, n: int, m: int) -> int:
    """The number of elements that a mask keeps, of each ``m`` consecutive ones at most ``n``, over all processes."""
    own = part_of(mask).reshape(-1, m).sum(1).clamp_(max=n).sum()
    return int(own if not is_sharded(mask) else Layout.of(mask).sum(own))


def whole_of(tensor: Tensor) -> Tensor:
    """The whole tensor; all processes that hold a part of it must call this together."""
    held: Any = tensor.detach()
    whole: Tensor = held.full_tensor() if is_sharded(tensor) else tensor
    return whole


def as_shown_by(like: Tensor, tensor: Tensor) -> Tensor:
    """A whole tensor, which every process has, laid out like another tensor of its shape."""
    if not is_sharded(like) or is_sharded(tensor):
        return tensor
    return Layout.of(like).dtensor(Layout.of(like).part(tensor))


@dataclass(frozen=True)
class Layout:
    """How a tensor is laid out over processes.

    Attributes:
        mesh: the ``DeviceMesh``.
        placements: for each dimension of the mesh whether it shards the tensor, and in which of its dimensions.
        shape: of the whole tensor.
        stride: of the whole tensor.
    """

    mesh: Any
    placements: tuple[Any, ...]
    shape: torch.Size
    stride: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Any) -> Layout:
        """The layout of a ``DTensor``."""
        return cls(tensor.device_mesh, tuple(tensor.placements), tensor.shape, tensor.stride())

    def dtensor(self, part: Tensor) -> Tensor:
        """The ``DTensor`` whose part on this process is ``part``."""
        from torch.distributed.tensor import DTensor

        made: Tensor = DTensor.from_local(
            part, self.mesh, self.placements, run_check=False, shape=self.shape, stride=self.stride
        )
        return made

    def whole(self, part: Tensor) -> Tensor:
        """The whole tensor, gathered from all processes, which call this together."""
        gathered: Any = self.dtensor(part)
        found: Tensor = gathered.full_tensor()
        return found

    def part(self, whole: Tensor) -> Tensor:
        """This process's part of a tensor that it holds as a whole."""
        from torch.distributed.tensor import DTensor, Replicate

        replicated = [Replicate()] * self.mesh.ndim
        made: Any = DTensor.from_local(whole, self.mesh, replicated, run_check=False)
        found: Tensor = made.redistribute(placements=self.placements).to_local()
        return found

    def sum(self, own: Tensor) -> Tensor:
        """The sum of one number of each part."""
        from torch.distributed.tensor import DTensor, Partial, Replicate

        placements = [Replicate() if each.is_replicate() else Partial() for each in self.placements]
        summed: Any = DTensor.from_local(own, self.mesh, placements, run_check=False)
        found: Tensor = summed.full_tensor()
        return found

    def holds_groups(self, m: int) -> bool:
        """Whether groups of ``m`` consecutive elements of a row, whose length ``m`` divides, lie in one part each."""
        split = [
            (placement.dim, size)
            for placement, size in zip(self.placements, self.mesh.shape, strict=True)
            if not placement.is_replicate() and size > 1 and placement.dim != 0
        ]
        if not split:
            return True
        (dimension, size), *more = split
        columns = -(-self.shape[1] // size)
        return not more and dimension == 1 and columns * self.shape[2:].numel() % m == 0

    @property
    def counted(self) -> bool:
        """Whether the part of this process counts, if several processes hold the same part."""
        return all(
            self.mesh.get_local_rank(number) == 0
            for number, placement in enumerate(self.placements)
            if placement.is_replicate()
        )

    def places(self, device: torch.device) -> Tensor:
        """The flat indices, in the whole tensor, of the elements of this process's part."""
        rows = [placement for placement in self.placements if not placement.is_replicate()]
        if len(self.shape) and all(type(row).__name__ == "Shard" and row.dim == 0 for row in rows):
            width = self.shape[1:].numel()
            first = Layout(self.mesh, self.placements, self.shape[:1], (1,))
            indices = first.part(torch.arange(self.shape[0], device=device))
            return (indices[:, None] * width + torch.arange(width, device=device)).reshape(-1)
        return self.part(torch.arange(self.shape.numel(), device=device).view(self.shape)).reshape(-1)
