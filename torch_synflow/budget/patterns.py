"""Patterns that hardware can read: at most n of every m consecutive elements."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch_synflow._torch.classes import TransposedConvolution
from torch_synflow.budget.counts import to_remove
from torch_synflow.model.layout import Layout, is_sharded, kept_of_groups
from torch_synflow.model.parameters import Entry


@dataclass(frozen=True)
class Pattern:
    """At most ``n`` of every ``m`` consecutive elements of a row, made by :func:`n_of_m`.

    Attributes:
        n: the number of elements that a group keeps.
        m: the number of elements of a group.
    """

    n: int
    m: int

    def __str__(self) -> str:
        return f"prune.n_of_m({self.n}, {self.m})"


def n_of_m(n: int, m: int) -> Pattern:
    r"""Make a pattern that keeps the best ``n`` of every ``m`` consecutive elements of a row.

    Rows are those of ``weight.flatten(1)``. In a linear layer, a row has the inputs of one output. In a convolution, it
    has the :math:`c_{in} k_h k_w` elements of one filter, in the order of ``F.unfold``.
    ``torch.sparse.to_sparse_semi_structured`` takes this matrix. It expects ``n_of_m(2, 4)`` for 16-bit floats and
    ``n_of_m(1, 2)`` for float32. With scores :math:`S`, the group :math:`G` keeps

    .. math:: \{ i \in G : |\{ j \in G : S_j > S_i \text{ or } S_j = S_i, j < i \}| < n \},

    of the elements that earlier pruning has left. If there are several iterations, these elements stay in each of them.
    The schedule also keeps the highest scores of the other elements, until none of these are left.

    Args:
        n: the number of elements that a group keeps, from 1 to ``m``.
        m: the number of elements of a group. It must divide the length of the rows of each weight.

    Returns:
        The ``pattern`` argument of ``global_iterative_unstructured``, with an ``amount`` of :math:`1 - n / m`.

    Raises:
        TypeError: if either is not an int.
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
            raise TypeError(f"{name}: expected an int, got {value!r}; for example prune.n_of_m(2, 4)")
    if m < 1:
        raise ValueError(f"m: expected an int of at least 1, got {m}; for example prune.n_of_m(2, 4)")
    if not 1 <= n <= m:
        raise ValueError(f"n: expected an int from 1 to m, {m}, got {n}; for example prune.n_of_m(2, 4)")
    return Pattern(int(n), int(m))


def check_pattern(pattern: Any, entries: Sequence[Entry], amount: float) -> Pattern:
    """The pattern, checked to fit all entries and to keep as many elements as ``amount`` leaves.

    Raises:
        TypeError, ValueError: if it is not a pattern, or does not fit.
    """
    if not isinstance(pattern, Pattern):
        raise TypeError(f"pattern: expected prune.n_of_m(n, m), got {pattern!r}")
    for entry in entries:
        _check_rows(entry, pattern)
    alive = sum(entry.alive for entry in entries)
    kept = sum(kept_of_groups(entry.mask, pattern.n, pattern.m) for entry in entries)
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
            f"{entry.label}: expected no transposed convolution, because its inputs are not the rows that {pattern} "
            f"reads, got {type(entry.locations[0][0]).__name__}; {advice}"
        )
    row = math.prod(shape[1:])
    if row % pattern.m:
        raise ValueError(
            f"{entry.label}: expected rows with a multiple of {pattern.m} elements, got {row} elements in shape "
            f"{shape}; {advice}"
        )
    if is_sharded(entry.parameter) and not (layout := Layout.of(entry.parameter)).holds_groups(pattern.m):
        raise ValueError(
            f"{entry.label}: expected parts that hold whole groups of {pattern.m} elements of a row, got shape {shape} "
            f"as {layout.placements} over {tuple(layout.mesh.shape)}; prune before the model is sharded"
        )
