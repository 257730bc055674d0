"""How many elements selection keeps, and of what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Together:
    """Keep so many of the highest scores of all tensors together."""

    keep: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """The one number."""
        return (self.keep,)


@dataclass(frozen=True)
class InGroups(Together):
    """Keep so many of all tensors together, the highest of each group of consecutive elements before all others.

    Attributes:
        keep: how many, at least those that the groups keep.
        n: how many of a group come first, or all that are left of it.
        m: how many elements a group has, of the flattened tensor.
    """

    n: int
    m: int


@dataclass(frozen=True)
class OfEach:
    """Keep so many of the highest scores of each tensor.

    Attributes:
        numbers: one per tensor.
    """

    numbers: tuple[int, ...]


Quota = Together | OfEach
