"""Accuracy against compression, density and the time of pruning, and critical compressions."""

from __future__ import annotations

import math
from statistics import mean
from typing import Any

from benchmarks.figures.axes import accuracy_axis, curve, deviations, found, kept_axis
from benchmarks.figures.panels import Panel, Records
from benchmarks.figures.words import in_words
from benchmarks.sweep.store import Record


def _best(record: Record) -> float:
    return float(record["result"]["best_accuracy"])


def _last(record: Record) -> float:
    return float(record["result"]["accuracy"])


def accuracy_by_compression(ax: Any, panel: Panel, records: Records) -> None:
    """Accuracy of the best epoch against the compression ratio, and arrows at critical compressions."""
    for line in panel.lines:
        curve(ax, line, records, _best, lambda density: 1 / density)
    if panel.lines:
        accuracy_axis(ax, "best test accuracy (%)")
    limits(ax, panel, records)
    ax.set_xscale("log")
    ax.set_xlabel("compression ratio")


def limits(ax: Any, panel: Panel, records: Records) -> None:
    """The critical compression of each method: an arrow under its curve, or a dot with its range."""
    top = None
    for height, line in enumerate(panel.limits):
        results = [record["result"] for _, trials in line.points for record in found(trials, records)]
        if not results:
            continue
        values = [10 ** r["critical_log10_compression"] for r in results]
        top = 10 ** results[0]["max_log10_compression"]
        if panel.lines:
            middle = 10 ** mean(map(math.log10, values))
            ax.plot([middle], [0.02], "^", color=line.colour, transform=ax.get_xaxis_transform(), clip_on=False)
        else:
            ax.plot(values, [height] * len(values), line.marker, color=line.colour, alpha=0.8)
            label = f"$10^{{{mean(r['critical_log10_compression'] for r in results):.2f}}}$"
            ax.annotate(label, (max(values), height), xytext=(6, -2), textcoords="offset points", fontsize=7)
    if top is not None:
        ax.axvline(top, color="black", linestyle="--", linewidth=0.9, label="max compression")
    if panel.limits and not panel.lines:
        ax.set_yticks(range(len(panel.limits)), [line.label for line in panel.limits])
        ax.set_ylim(-0.6, len(panel.limits) - 0.4)
        ax.set_xlim(left=1)
        ax.set_title(f"critical compression, {in_words(panel.title)}")


def accuracy_by_density(ax: Any, panel: Panel, records: Records) -> None:
    """Accuracy at the end of training against the share of weights that stay."""
    for line in panel.lines:
        curve(ax, line, records, _last, lambda density: 100 * density, deviations)
    densities = {x for line in panel.lines for x, trials in line.points if any(True for _ in found(trials, records))}
    if 1.0 in densities:
        whole = [r for line in panel.lines for x, t in line.points if x == 1 for r in found(t, records)]
        ax.axhline(mean(map(_last, whole)), color="#555555", linewidth=0.8, linestyle=(0, (1, 2)))
    kept_axis(ax, densities)
    accuracy_axis(ax, "test accuracy (%)")


def accuracy_by_time(ax: Any, panel: Panel, records: Records) -> None:
    """Accuracy against the epoch after which the network was pruned."""
    for line in panel.lines:
        curve(ax, line, records, _last, float, deviations)
    for drop in panel.note.get("drops", ()):
        ax.axvline(drop, color="#aaaaaa", linewidth=0.7)
    last = max((x for line in panel.lines for x, _ in line.points), default=1)
    linear = max(last / 100, 1e-6)
    ax.set_xscale("symlog", linthresh=linear)
    ax.set_xlim(left=0)
    ticks = [0, *(10.0**power for power in range(-6, 4) if linear < 10.0**power <= last)]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])  # one below, where the axis is linear, would touch the zero
    ax.set_xlabel("pruned after epoch")
    accuracy_axis(ax, "test accuracy (%)")
