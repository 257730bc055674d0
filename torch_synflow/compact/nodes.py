"""How operations derive cells from cells: which are zero, depend on the input, are read, or get a gradient.

``forward`` goes from the inputs to the outputs, ``backward`` the other way. All properties hold for any input and any
later step of training; "zero" and "not read" are set only if certain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Flags:
    """The properties of all cells, as boolean tensors.

    Attributes:
        zero: it is zero.
        moving: it may depend on the model's input.
        used: an output may depend on it.
        graded: a gradient may arrive at it.
        fixed: it is the same number for all inputs, at all places, and at all later steps of training.
    """

    zero: Tensor
    moving: Tensor
    used: Tensor
    graded: Tensor
    fixed: Tensor

    def make(self, target: Tensor, zero: Tensor, moving: Tensor, fixed: Tensor | None = None) -> None:
        """Set the properties of new cells."""
        self.zero[target] = zero
        self.fixed[target] = zero if fixed is None else zero | fixed
        self.moving[target] = moving & ~zero

    def read(self, source: Tensor, used: Tensor, graded: Tensor) -> None:
        """Cells may be there several times: one reader is enough."""
        self.used[source[used]] = True
        self.graded[source[graded]] = True


class Derivation:
    """One operation on cells."""

    def forward(self, flags: Flags) -> None:
        """The properties of the new cells."""

    def backward(self, flags: Flags) -> None:
        """The cells from which they are read."""


@dataclass
class Pointwise(Derivation):
    """A function of each element, or of elements of one channel.

    Attributes:
        keeps_zero: whether it maps zeros to zeros, for all cells or per cell.
        blocks: whether its gradient at zero is zero, as for ReLU.
        even: of one number at all places it always makes one number at all places.
        label: of what it adds that training changes, a running mean.
    """

    source: Tensor
    target: Tensor
    keeps_zero: Tensor
    blocks: bool = False
    even: bool = False
    label: str = ""

    def forward(self, flags: Flags) -> None:
        """Zero where it keeps zeros."""
        zero, moving, fixed = (flag[self.source] for flag in (flags.zero, flags.moving, flags.fixed))
        flags.make(self.target, zero & self.keeps_zero, moving, fixed & self.even)

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
        zero, moving, fixed = (flag[self.source] for flag in (flags.zero, flags.moving, flags.fixed))
        flags.make(self.target, zero & self.steady, moving, fixed & (self.steady | ~self.trained))

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
    """A sum, or another operation that is zero if all of its terms are zero.

    Attributes:
        source: ``(terms, cells)``.
        apart: terms are not added, but lie at several places.
    """

    source: Tensor
    target: Tensor
    apart: bool = False

    def forward(self, flags: Flags) -> None:
        """Zero where all terms are."""
        zero, fixed = (flag[self.source].all(0) for flag in (flags.zero, flags.fixed))
        flags.make(self.target, zero, flags.moving[self.source].any(0), None if self.apart else fixed)

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
        fixed = flags.fixed[self.first] & flags.fixed[self.second]
        flags.make(self.target, zero, flags.moving[self.first] | flags.moving[self.second], fixed)

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
        frozen: whether its weight is, and channels of it can be added up.
        padded: zeros are put around what it reads.
        seen: what it read at one place, one number per source.
    """

    source: Tensor
    target: Tensor
    kept: Tensor
    label: str
    frozen: bool = False
    padded: bool = False
    seen: Tensor | None = None

    def _arrives(self, flag: Tensor) -> Tensor:
        groups, _, inputs = self.kept.shape
        return (self.kept & flag[self.source].view(groups, 1, inputs)).any(2).view(-1)

    def read(self, flag: Tensor) -> Tensor:
        """Which sources a kept weight reads for a target of the flag."""
        groups, outputs, _ = self.kept.shape
        return (self.kept & flag[self.target].view(groups, outputs, 1)).any(1).view(-1)

    def forward(self, flags: Flags) -> None:
        """Zero if all cells that kept weights read are zero."""
        fixed = ~self._arrives(~flags.fixed) & (self.frozen and not self.padded)
        flags.make(self.target, ~self._arrives(~flags.zero), self._arrives(flags.moving), fixed)

    def backward(self, flags: Flags) -> None:
        """Read only by kept weights."""
        flags.read(self.source, self.read(flags.used), self.read(flags.graded))


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
    """Cells that are read by the outputs, or by unknown operations."""

    source: Tensor
    label: str = field(default="")

    def backward(self, flags: Flags) -> None:
        """All are read."""
        flags.used[self.source] = True
        flags.graded[self.source] = True
