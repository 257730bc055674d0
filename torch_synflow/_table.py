"""The tables that reports print."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format rows in columns. The first and the last column are left-aligned, all others right-aligned.

    Example:
        >>> rows = [["conv.weight", "3", ""], ["fc.weight", "10", "empty"]]
        >>> print(table(["layer", "kept", ""], rows))
        layer        kept
        conv.weight     3
        fc.weight      10  empty
    """
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    aligned = []
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
        aligned.append("  ".join([*cells, line[-1] if not header[-1] else line[-1].rjust(widths[-1])]).rstrip())
    return "\n".join(aligned)
