"""How operations make cells of cells: which are zero, which depend on the input, which are read, which get a gradient.

``forward`` goes from the inputs to the outputs, ``backward`` the other way. All claims are about any input and any
later step of training: "zero" and "not read" only where that is certain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Flags:
    """What is known of each cell, a boolean tensor each.

    Attributes:
        zero: it is zero.
        moving: it may depend on the model's input.
        used: an output may depend on it.
        graded: a gradient may arrive at it.
    """

    zero: Tensor
    moving: Tensor
    used: Tensor
    graded: Tensor

    def make(self, target: Tensor, zero: Tensor, moving: Tensor) -> None:
        """Set what is known of new cells."""
        self.zero[target] = zero
        self.moving[target] = moving & ~zero

    def read(self, source: Tensor, used: Tensor, graded: Tensor) -> None:
        """Cells may be there several times: one reader is enough."""
        self.used[source[used]] = True
        self.graded[source[graded]] = True


class Derivation:
    """One operation on cells."""

    def forward(self, flags: Flags) -> None:
        """What is known of the new cells."""

    def backward(self, flags: Flags) -> None:
        """Which cells they are read from."""


@dataclass
class Pointwise(Derivation):
    """A function of each element, or of elements of one channel.

    Attributes:
        keeps_zero: of zeros it makes zeros; one for all cells, or one per cell.
        blocks: its gradient at zero is zero, as ReLU's.
    """

    source: Tensor
    target: Tensor
    keeps_zero: Tensor
    blocks: bool = False

    def forward(self, flags: Flags) -> None:
        """Zero where it keeps zeros."""
        flags.make(self.target, flags.zero[self.source] & self.keeps_zero, flags.moving[self.source])

    def backward(self, flags: Flags) -> None:
        """Read as its target is, with no gradient where that is blocked."""
        graded = flags.graded[self.target]
        flags.read(self.source, flags.used[self.target], graded & ~flags.zero[self.source] if self.blocks else graded)


@dataclass
class Shift(Derivation):
    """A bias that is added.

    Attributes:
        steady: where the bias is zero, and stays so; all uses of one bias share it.
        trained: whether an optimizer may change it.
        label: of the bias.
    """

    source: Tensor
    target: Tensor
    steady: Tensor
    trained: Tensor
    label: str

    def forward(self, flags: Flags) -> None:
        """Zero where source and bias are."""
        flags.make(self.target, flags.zero[self.source] & self.steady, flags.moving[self.source])

    def backward(self, flags: Flags) -> None:
        """Read as its target is."""
        flags.read(self.source, flags.used[self.target], flags.graded[self.target])

    def moved(self, flags: Flags) -> bool:
        """Whether a gradient reaches a bias that was taken to stay zero; it is not from now on."""
        moving = self.steady & self.trained & flags.graded[self.target]
        self.steady &= ~moving
        return bool(moving.any())


@dataclass
class Sum(Derivation):
    """A sum, or anything else that is zero where all of its terms are.

    Attributes:
        source: ``(terms, cells)``.
    """

    source: Tensor
    target: Tensor

    def forward(self, flags: Flags) -> None:
        """Zero where all terms are."""
        flags.make(self.target, flags.zero[self.source].all(0), flags.moving[self.source].any(0))

    def backward(self, flags: Flags) -> None:
        """Each term is read."""
        used, graded = (flag[self.target].expand_as(self.source) for flag in (flags.used, flags.graded))
        flags.read(self.source, used, graded)


@dataclass
class Product(Derivation):
    """A product of two tensors."""

    first: Tensor
    second: Tensor
    target: Tensor

    def forward(self, flags: Flags) -> None:
        """Zero where one factor is."""
        zero = flags.zero[self.first] | flags.zero[self.second]
        flags.make(self.target, zero, flags.moving[self.first] | flags.moving[self.second])

    def backward(self, flags: Flags) -> None:
        """A factor is not read where the other is zero."""
        for source, other in ((self.first, self.second), (self.second, self.first)):
            live = ~flags.zero[other]
            flags.read(source, flags.used[self.target] & live, flags.graded[self.target] & live)


@dataclass
class Weighted(Derivation):
    """A linear layer or a convolution.

    Attributes:
        kept: ``(groups, outputs, inputs)`` of a group, true where some weight is kept.
        label: of its weight.
    """

    source: Tensor
    target: Tensor
    kept: Tensor
    label: str

    def _arrives(self, flag: Tensor) -> Tensor:
        groups, _, inputs = self.kept.shape
        return (self.kept & flag[self.source].view(groups, 1, inputs)).any(2).view(-1)

    def _read(self, flag: Tensor) -> Tensor:
        groups, outputs, _ = self.kept.shape
        return (self.kept & flag[self.target].view(groups, outputs, 1)).any(1).view(-1)

    def forward(self, flags: Flags) -> None:
        """Zero where no kept weight reads what is not."""
        flags.make(self.target, ~self._arrives(~flags.zero), self._arrives(flags.moving))

    def backward(self, flags: Flags) -> None:
        """Read by kept weights alone."""
        flags.read(self.source, self._read(flags.used), self._read(flags.graded))


@dataclass
class Recurrent(Derivation):
    """One direction of one recurrent layer.

    Attributes:
        kept: ``(hidden, inputs)``, true where some gate keeps a weight.
        kept_hidden: ``(hidden, hidden)``.
    """

    source: Tensor
    target: Tensor
    kept: Tensor
    kept_hidden: Tensor

    def forward(self, flags: Flags) -> None:
        """Never certain to be zero, as gates and biases are not."""
        no = torch.zeros_like(self.target, dtype=torch.bool)
        flags.make(self.target, no, ~no)

    def backward(self, flags: Flags) -> None:
        """A hidden channel that is read reads others a step before."""
        for flag in (flags.used, flags.graded):
            found = flag[self.target]
            while not torch.equal(more := found | (self.kept_hidden & found[:, None]).any(0), found):
                found = more
            flag[self.target] = found
            flag[self.source[(self.kept & found[:, None]).any(0)]] = True


@dataclass
class Sink(Derivation):
    """Cells that are read by the outputs, or by what is not known."""

    source: Tensor
    label: str = field(default="")

    def backward(self, flags: Flags) -> None:
        """All are read."""
        flags.used[self.source] = True
        flags.graded[self.source] = True
