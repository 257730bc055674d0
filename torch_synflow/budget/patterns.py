"""Patterns that hardware reads: at most n of every m consecutive elements."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch_synflow._torch.classes import TransposedConvolution
from torch_synflow.budget.counts import to_remove
from torch_synflow.model.parameters import Entry


@dataclass(frozen=True)
class Pattern:
    """At most ``n`` of every ``m`` consecutive elements of a row, as :func:`n_of_m` makes it.

    Attributes:
        n: how many of a group are kept.
        m: how many elements a group has.
    """

    n: int
    m: int

    def __str__(self) -> str:
        return f"prune.n_of_m({self.n}, {self.m})"


def n_of_m(n: int, m: int) -> Pattern:
    r"""Make a pattern that keeps the best ``n`` of every ``m`` consecutive elements of a row.

    Rows are those of ``weight.flatten(1)``: of a linear layer the inputs of one output, of a convolution the
    :math:`c_{in} k_h k_w` elements of one filter, in the order of ``F.unfold``. This is the matrix that
    ``torch.sparse.to_sparse_semi_structured`` takes, which wants ``n_of_m(2, 4)`` of 16-bit floats and ``n_of_m(1, 2)``
    of float32. With scores :math:`S` the group :math:`G` keeps

    .. math:: \{ i \in G : |\{ j \in G : S_j > S_i \text{ or } S_j = S_i, j < i \}| < n \},

    of what earlier prunings have left of it. In several iterations these come first, and of the others the highest
    scores stay that the schedule leaves, until it leaves none.

    Args:
        n: how many of a group are kept, from 1 to ``m``.
        m: how many elements a group has. The rows of each weight must be a multiple of it.

    Returns:
        The ``pattern`` of ``global_iterative_unstructured``, whose ``amount`` is then :math:`1 - n / m`.

    Raises:
        TypeError: if either is no int.
        ValueError: if ``n`` is not from 1 to ``m``.

    Example:
        >>> model = nn.Linear(4, 2, bias=False)
        >>> model.weight.data = torch.tensor([[0.1, -0.4, 0.3, 0.2], [2.0, 2.0, 2.0, 1.0]])
        >>> _ = prune.global_iterative_unstructured(
        ...     model, prune.L1Unstructured, amount=0.5, pattern=prune.n_of_m(2, 4)
        ... )
        >>> model.weight_mask.tolist()
        [[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]]
    """
    for name, value in (("n", n), ("m", m)):
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(f"{name}: expected an int, got {value!r}; prune.n_of_m(2, 4) for example")
    if m < 1:
        raise ValueError(f"m: expected an int of at least 1, got {m}; prune.n_of_m(2, 4) for example")
    if not 1 <= n <= m:
        raise ValueError(f"n: expected an int from 1 to m, {m}, got {n}; prune.n_of_m(2, 4) for example")
    return Pattern(int(n), int(m))


def check_pattern(pattern: Any, entries: Sequence[Entry], amount: float) -> Pattern:
    """A pattern that fits all entries, and that keeps what ``amount`` leaves of them.

    Raises:
        TypeError, ValueError: if it is none, or does not.
    """
    if not isinstance(pattern, Pattern):
        raise TypeError(f"pattern: expected prune.n_of_m(n, m), got {pattern!r}")
    for entry in entries:
        _check_rows(entry, pattern)
    alive = sum(entry.alive for entry in entries)
    kept = sum(int(e.mask.reshape(-1, pattern.m).sum(1).clamp_(max=pattern.n).sum()) for e in entries)
    left = alive - to_remove(amount, alive)
    if left != kept:
        share = f"{1 - pattern.n / pattern.m:g}"
        expected = share if to_remove(float(share), alive) == alive - kept else alive - kept
        raise ValueError(
            f"amount: expected {expected}, which leaves the {kept} of {alive} elements that {pattern} keeps, "
            f"got {amount!r}, which leaves {left}"
        )
    return pattern


def _check_rows(entry: Entry, pattern: Pattern) -> None:
    shape = tuple(entry.parameter.shape)
    advice = "leave it out of parameters"
    if len(shape) < 2:
        raise ValueError(f"{entry.label}: expected a weight of two or more dimensions, got shape {shape}; {advice}")
    if isinstance(entry.locations[0][0], TransposedConvolution):
        raise ValueError(
            f"{entry.label}: expected no transposed convolution, whose inputs are not the rows that {pattern} reads, "
            f"got {type(entry.locations[0][0]).__name__}; {advice}"
        )
    row = math.prod(shape[1:])
    if row % pattern.m:
        raise ValueError(
            f"{entry.label}: expected rows of a multiple of {pattern.m} elements, got {row} of shape {shape}; {advice}"
        )
