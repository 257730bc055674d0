"""The channels of a network, and which of them carry something.

A cell is one channel of one tensor of a forward pass. Operations make new cells of those that they read
(:mod:`torch_synflow.compact.nodes`), and tie those that can only be removed together: what meets in a sum, what one
index of a parameter belongs to.
"""

from __future__ import annotations

import torch
from torch import Tensor

from torch_synflow.compact.nodes import Derivation, Flags, Shift

#: the cells that are never removed: of the model's inputs, of constants, and of constants that are zero
INPUT, CONSTANT, ZERO = 0, 1, 2


class Cells:
    """All cells of a model, how they are made of each other, and which can only be removed together.

    Attributes:
        nodes: what makes cells of cells, in the order of the forward pass.
        pins: cells that have to stay, and why.
    """

    def __init__(self) -> None:
        self.nodes: list[Derivation] = []
        self.pins: list[tuple[Tensor, str]] = []
        self._count = 3
        self._ties: list[tuple[Tensor, Tensor]] = []
        self._zero: list[Tensor] = [torch.tensor([ZERO])]
        self._moving: list[Tensor] = [torch.tensor([INPUT])]

    def new(self, count: int) -> Tensor:
        """The numbers of so many new cells."""
        self._count += count
        return torch.arange(self._count - count, self._count)

    def always_zero(self, cells: Tensor) -> None:
        """Note that these are zero whatever the model is trained on."""
        self._zero.append(cells.reshape(-1))

    def follow_input(self, cells: Tensor) -> None:
        """Note that these depend on the model's input."""
        self._moving.append(cells.reshape(-1))

    def tie(self, first: Tensor, second: Tensor) -> None:
        """Note that each pair of cells can only be removed together."""
        first, second = torch.broadcast_tensors(first, second)
        self._ties.append((first.reshape(-1), second.reshape(-1)))

    def pin(self, cells: Tensor, reason: str) -> None:
        """Note that cells have to stay, and why."""
        self.pins.append((cells.reshape(-1).unique(), reason))

    def classes(self) -> Tensor:
        """For each cell the lowest of those that it can only be removed with."""
        lowest = torch.arange(self._count)
        firsts = torch.cat([torch.tensor([INPUT, INPUT]), *(first for first, _ in self._ties)])
        seconds = torch.cat([torch.tensor([CONSTANT, ZERO]), *(second for _, second in self._ties)])
        while True:
            a, b = lowest[firsts], lowest[seconds]
            if torch.equal(a, b):
                return lowest
            least = torch.minimum(a, b)
            lowest = lowest.scatter_reduce(0, a, least, "amin").scatter_reduce(0, b, least, "amin")
            while not torch.equal(jumped := lowest[lowest], lowest):
                lowest = jumped

    def settled(self) -> Flags:
        """What is known of each cell, now and at any later step of training.

        Biases that are zero now are first taken to stay so. A gradient that then reaches one shows otherwise, and the
        search starts again. The final result holds at the first step, and if it holds at one step, it holds at the
        next.
        """
        shifts = [node for node in self.nodes if isinstance(node, Shift)]
        while True:
            flags = Flags(*(torch.zeros(self._count, dtype=torch.bool) for _ in range(5)))
            flags.zero[torch.cat(self._zero)] = flags.fixed[torch.cat(self._zero)] = True
            flags.moving[torch.cat(self._moving)] = True
            for node in self.nodes:
                node.forward(flags)
            for node in reversed(self.nodes):
                node.backward(flags)
            if not any([shift.moved(flags) for shift in shifts]):  # noqa: C419 - each has to look
                return flags
