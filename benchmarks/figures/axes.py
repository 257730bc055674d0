"""Lines and axes that are legible in print: a mean line, a band around it, and numbers that do not overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import mean, stdev
from typing import Any

from benchmarks.figures.panels import Line, Records
from benchmarks.sweep.store import Record
from benchmarks.sweep.trial import Trial


def shade(colour: str, factor: float) -> str:
    """A colour made darker (below 1) or lighter."""
    channels = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [c * factor if factor <= 1 else c + (255 - c) * (factor - 1) for c in channels]
    return "#" + "".join(f"{min(255, max(0, round(c))):02x}" for c in mixed)


def found(trials: Sequence[Trial], records: Records) -> Iterator[Record]:
    """The records that are there."""
    for trial in trials:
        if trial.name in records:
            yield records[trial.name]


Band = Callable[[Sequence[float]], tuple[float, float]]


def extremes(values: Sequence[float]) -> tuple[float, float]:
    """From the lowest to the highest, as the bands of Tanaka et al. 2020 (figure 6)."""
    return min(values), max(values)


def deviations(values: Sequence[float]) -> tuple[float, float]:
    """A standard deviation to both sides of the mean, as the bands of Frankle et al. 2021 (section 3)."""
    middle, deviation = mean(values), stdev(values) if len(values) > 1 else 0.0
    return middle - deviation, middle + deviation


def banded(ax: Any, line: Line, rows: Sequence[tuple[float, Sequence[float]]], band: Band) -> None:
    """A mean line and the band around it."""
    xs, (low, high) = [x for x, _ in rows], zip(*(band(values) for _, values in rows), strict=True)
    ax.plot(xs, [mean(v) for _, v in rows], line.dash, color=line.colour, marker=line.marker, label=line.label)
    ax.fill_between(xs, low, high, color=line.colour, alpha=0.18, linewidth=0)


def curve(
    ax: Any,
    line: Line,
    records: Records,
    value: Callable[[Record], float],
    place: Callable[[float], float],
    band: Band = extremes,
) -> None:
    """A mean line and a band of the measured values at each place."""
    rows = [(place(x), [value(r) for r in found(trials, records)]) for x, trials in line.points]
    rows = sorted((x, values) for x, values in rows if values)
    if not rows:
        return
    banded(ax, line, rows, band)


def accuracy_axis(ax: Any, label: str) -> None:
    """Accuracy in percent, with more room the nearer to 100: distances are of the logarithm of the error and two."""
    import numpy as np

    def placed(accuracy: Any) -> Any:
        return -np.log10(np.maximum(102 - accuracy, 1e-3))

    bottom, top = ax.dataLim.intervaly
    ax.set_yscale("function", functions=(placed, lambda place: 102 - 10 ** (-place)))
    low, high = max(0.0, bottom - 0.05 * (102 - bottom)), min(100.0, top + 0.25 * (101 - top))
    if np.isfinite([low, high]).all():
        ax.set_ylim(low, high)
        ticks: list[float] = []
        # the first that fit, none too near another
        for tick in (98, 96, 90, 80, 60, 20, 0, 99, 94, 92, 85, 70, 40, 30, 50, 10):
            apart = [abs(placed(tick) - placed(other)) for other in ticks]
            if low <= tick <= high and min(apart, default=1) > 0.07 * (placed(high) - placed(low)):
                ticks.append(tick)
        if len(ticks) > 1:
            ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_ylabel(label)


def plain_minor_ticks(ax: Any) -> None:
    """No numbers between the powers of ten, which would overlap."""
    from matplotlib.ticker import NullFormatter

    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())


def kept_axis(ax: Any, densities: set[float]) -> None:
    """The share of weights that stay, falling from left to right."""
    from matplotlib.ticker import NullFormatter

    ax.set_xscale("log")
    ax.invert_xaxis()
    low, high = 90 * min(densities, default=1), 110 * max(densities, default=1)
    ticks = [t for t in (100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1) if low <= t <= high]
    if len(ticks) < 2:
        ticks = sorted({100 * d for d in densities})
    ax.set_xticks(ticks, [f"{t:.3g}" for t in ticks])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("weights kept (%)")
