"""The channels of a network, and which of them carry something.

A cell is one channel of one tensor of a forward pass. Operations derive new cells from the cells that they read
(:mod:`torch_synflow.compact.nodes`), and tie cells that can only be removed together, such as cells that meet in a sum
or belong to one index of a parameter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from torch_synflow.compact.nodes import Derivation, Flags, Shift

#: the cells that are never removed: those of the model's inputs, of constants, and of zero constants
INPUT, CONSTANT, ZERO = 0, 1, 2


class Cells:
    """All cells of a model, their derivations, and ties of cells that can only be removed together.

    Attributes:
        nodes: the derivations of cells, in the order of the forward pass.
        pins: cells that must stay, with the reasons.
    """

    def __init__(self) -> None:
        self.nodes: list[Derivation] = []
        self.pins: list[tuple[Tensor, str]] = []
        self._count = 3
        self._ties: list[tuple[Tensor, Tensor]] = []
        self._zero: list[Tensor] = [torch.tensor([ZERO])]
        self._moving: list[Tensor] = [torch.tensor([INPUT])]

    def new(self, count: int) -> Tensor:
        """The numbers of new cells."""
        self._count += count
        return torch.arange(self._count - count, self._count)

    def always_zero(self, cells: Tensor) -> None:
        """Note that these cells are zero for all inputs and all training data."""
        self._zero.append(cells.reshape(-1))

    def follow_input(self, cells: Tensor) -> None:
        """Note that these cells depend on the model's input."""
        self._moving.append(cells.reshape(-1))

    def tie(self, first: Tensor, second: Tensor) -> None:
        """Note that each pair of cells can only be removed together."""
        first, second = torch.broadcast_tensors(first, second)
        self._ties.append((first.reshape(-1), second.reshape(-1)))

    def pin(self, cells: Tensor, reason: str) -> None:
        """Note that cells must stay, with the reason."""
        self.pins.append((cells.reshape(-1).unique(), reason))

    def classes(self) -> Tensor:
        """For each cell, the lowest cell that is tied to it."""
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
        """The properties of each cell, now and at any later step of training.

        Zero biases are first assumed to stay zero. A gradient that then reaches one shows otherwise, and the
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
