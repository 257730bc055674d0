"""Runs of equal rows and columns of a feature map: which windows over them differ, and how runs refine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from torch import Tensor

#: the number of repetitions of each different row and column
Runs = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Windows:
    """The different windows along one axis.

    Attributes:
        runs: the number of repetitions of each window.
        take: the input rows over which the windows slide, -1 beyond the border; ``None`` for all rows.
    """

    runs: tuple[int, ...]
    take: list[int] | None


def runs_of(x: Tensor) -> Runs | None:
    """The runs of equal rows and columns of a constant map, if there are any."""
    if x.dim() != 4 or 0 in x.shape:
        return None
    found = []
    for dim in (2, 3):
        first, second = x.narrow(dim, 0, x.shape[dim] - 1), x.narrow(dim, 1, x.shape[dim] - 1)
        same = (first == second).all(dim=5 - dim).flatten(0, 1).all(0).tolist()
        ends = [i for i, equal in enumerate(same) if not equal]
        edges = [-1, *ends, x.shape[dim] - 1]
        found.append(tuple(b - a for a, b in pairwise(edges)))
    return (found[0], found[1]) if len(found[0]) * len(found[1]) < x.shape[2] * x.shape[3] else None


def windows_along(runs: tuple[int, ...], size: int, stride: int, padding: int, dilation: int) -> Windows | None:
    """The different windows over an axis, given by its runs; ``None`` if windows cannot slide over them."""
    beyond = [-1] * padding
    rows = [*beyond, *(i for i, length in enumerate(runs) for _ in range(length)), *beyond]
    reach = dilation * (size - 1)
    starts = range(0, len(rows) - reach, stride)
    seen = [tuple(rows[start : start + reach + 1 : dilation]) for start in starts]
    different = [(key, len([*group])) for key, group in groupby(seen)]
    take: list[int | None] = [None] * ((len(different) - 1) * stride + reach + 1)
    for number, (window, _) in enumerate(different):
        for k, row in enumerate(window):
            place = number * stride + dilation * k
            if take[place] not in (None, row):
                return None
            take[place] = row
    filled = [0 if row is None else row for row in take]
    plain = filled == [*beyond, *range(len(runs)), *beyond]
    return Windows(tuple(length for _, length in different), None if plain else filled)


def common_runs(every: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """The coarsest runs that refine all of several runs."""
    edges = sorted({edge for runs in every for edge in accumulate(runs)})
    return tuple(b - a for a, b in pairwise([0, *edges]))


def refined(runs: tuple[int, ...], fine: tuple[int, ...]) -> list[int] | None:
    """For each finer run, the run that contains it; ``None`` if they are the same."""
    if runs == fine:
        return None
    ends = [*accumulate(runs)]
    take, number = [], 0
    for end in accumulate(fine):
        while end > ends[number]:
            number += 1
        take.append(number)
    return take
