"""The number of elements that selection keeps, and from which tensors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Together:
    """Keep a number of the highest scores of all tensors together."""

    keep: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """The number, as a tuple."""
        return (self.keep,)


@dataclass(frozen=True)
class InGroups(Together):
    """Keep a number of elements of all tensors together, first the highest of each group of consecutive elements.

    Attributes:
        keep: the number of elements, at least those that the groups keep.
        n: the number of elements of a group that come first, or all that are left.
        m: the number of elements of a group in the flattened tensor.
    """

    n: int
    m: int


@dataclass(frozen=True)
class OfEach:
    """Keep a number of the highest scores of each tensor.

    Attributes:
        numbers: one per tensor.
    """

    numbers: tuple[int, ...]


Quota = Together | OfEach
