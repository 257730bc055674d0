"""The axes for the plots of reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes(ax: Axes | None = None) -> Axes:
    """The given matplotlib axes, or new ones.

    Raises:
        ImportError: if no axes are given and matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            'draw: plots need matplotlib, which is not installed: pip install "torch_synflow[draw]"'
        ) from error
    return pyplot.subplots(layout="constrained")[1]


def bar_positions(ax: Axes, names: Sequence[str]) -> Sequence[int]:
    """Label the horizontal axis with as many layer names as fit."""
    places = list(range(len(names)))
    every = max(1, -(-len(names) // 40))
    ax.set_xticks(places[::every], names[::every], rotation=90, fontsize=7)
    return places


def fractions(ax: Axes, values: Sequence[float], label: str) -> float:
    """Make the vertical axis logarithmic, for fractions that span decades, such as densities.

    Returns:
        The lower end of the axis, for values of zero.
    """
    positive = [value for value in values if value > 0]
    bottom = min(positive) / 3 if positive else 0.0
    if positive:
        ax.set_yscale("log")
    ax.set_ylim(bottom, 1.5)
    ax.set_ylabel(label)
    return bottom
