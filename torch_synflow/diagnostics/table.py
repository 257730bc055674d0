"""The tables that diagnostics print, and the axes that they draw on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of columns that are as wide as they need to be: the first and the last are flush left, others right.

    Example:
        >>> print(table(["layer", "kept", ""], [["conv.weight", "3", ""], ["fc.weight", "10", "empty"]]))
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


def axes(ax: Any = None) -> Any:
    """The matplotlib axes to draw on: those given, or new ones.

    Raises:
        ImportError: if there are none and matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            'draw: a picture needs matplotlib, which is not installed: pip install "torch_synflow[draw]"'
        ) from error
    return pyplot.subplots(layout="constrained")[1]


def positions(ax: Any, names: Sequence[str]) -> Sequence[int]:
    """Label the horizontal axis with names of layers, as many as there is room for."""
    places = list(range(len(names)))
    every = max(1, -(-len(names) // 40))
    ax.set_xticks(places[::every], names[::every], rotation=90, fontsize=7)
    return places
