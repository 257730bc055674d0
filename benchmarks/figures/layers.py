"""The density of layers and neurons, and the scores of their weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import linear_regression, mean, median
from typing import Any

from benchmarks.figures.axes import banded, deviations, found, kept_axis, plain_minor_ticks
from benchmarks.figures.panels import Panel, Records
from benchmarks.training.networks import FULLY_CONNECTED


def layer_profile(ax: Any, panel: Panel, records: Records) -> None:
    """The density of each layer: lines are lighter at higher compression ratios, and dashed if a layer is empty."""
    (line,) = panel.lines
    rows = [(density, record["result"]) for density, trials in line.points for record in found(trials, records)]
    count = len({density for density, _ in rows})
    for number, (density, result) in enumerate(sorted(rows, key=lambda row: -row[0])):
        layers = result["layers"]
        shares = [kept / total if kept else math.nan for _, kept, total in layers]
        strength = 1 - 0.75 * number / max(1, count - 1)
        dash = "--" if result["empty_layers"] else "-"
        label = f"compression $10^{{{math.log10(1 / density):.3g}}}$" if number in (0, len(rows) - 1) else None
        ax.plot(range(1, len(layers) + 1), shares, dash, color=line.colour, alpha=strength, linewidth=1, label=label)
        for place, (_, kept, _) in enumerate(layers, start=1):
            if not kept:
                ax.plot([place], [0], "x", color=line.colour, alpha=strength, transform=ax.get_xaxis_transform(),
                        clip_on=False, markersize=3)  # fmt: skip
    ax.set_yscale("log")
    ax.set_xlabel("layer (x: empty)")
    ax.set_ylabel("density")


def apart(pairs: Iterable[tuple[float, float]]) -> float:
    """The median difference of the sums of scores into and out of units, in percent of the larger sum."""
    return 100 * median(abs(a - b) / max(abs(a), abs(b)) for a, b in pairs if a or b)


def slope(layers: Iterable[tuple[int, float]]) -> float:
    """The slope of the log average score of layers against the log of one over their sizes."""
    scored = [(math.log(1 / size), math.log(abs(score))) for size, score in layers if score]
    return linear_regression([x for x, _ in scored], [y for _, y in scored]).slope


def units(ax: Any, panel: Panel, records: Records) -> None:
    """Each hidden unit's scores of the weights into it and out of it, and by how much of the larger they differ."""
    (line,) = panel.lines
    drawn = [r["result"] for _, trials in line.points for r in found(trials, records)]
    pairs = [pair for r in drawn for pair in zip(r["into"], r["out"], strict=True)]
    places = [(abs(a), abs(b)) for a, b in pairs if a and b]
    if places:
        shown = f"median difference\n{apart(pairs):.3g} %"
        ax.text(0.97, 0.04, shown, transform=ax.transAxes, ha="right", fontsize="small")
        xs, ys = zip(*places, strict=True)
        ax.plot(xs, ys, ".", color=line.colour, markersize=2, alpha=0.6)
        ends = [min(*xs, *ys), max(*xs, *ys)]
        ax.plot(ends, ends, ":", color="black", linewidth=0.9, label="incoming = outgoing")
        ax.set_xscale("log")
        ax.set_yscale("log")
        plain_minor_ticks(ax)
    ax.set_xlabel("|incoming scores|")
    ax.set_ylabel("|outgoing scores|")


def layer_scores(ax: Any, panel: Panel, records: Records) -> None:
    """Each layer's average score against one over its size, and the slope of their logarithms."""
    (line,) = panel.lines
    drawn = [layer for _, t in line.points for r in found(t, records) for layer in r["result"]["layers"]]
    if drawn:
        xs, ys = [1 / size for size, _ in drawn], [abs(score) for _, score in drawn]
        ax.plot(xs, ys, line.marker, color=line.colour, markersize=3.5)
        middle = math.exp(mean(math.log(y / x) for x, y in zip(xs, ys, strict=True) if y > 0))
        ax.plot([min(xs), max(xs)], [middle * min(xs), middle * max(xs)], ":", color="black", linewidth=0.9,
                label="slope 1")  # fmt: skip
        ax.text(0.05, 0.9, f"slope {round(slope(drawn), 2) + 0.0:.2f}", transform=ax.transAxes)
        ax.set_xscale("log")
        ax.set_yscale("log")
        plain_minor_ticks(ax)
    ax.set_xlabel("1 / layer size")
    ax.set_ylabel("|average score|")


def squares(ax: Any, panel: Panel, records: Records) -> None:
    """Each layer's mean square weight against one over its size, before and after training."""
    (line,) = panel.lines
    for _, trials in line.points:
        for number, record in enumerate(found(trials, records)):
            result = record["result"]
            sizes = [1 / size for size in result["sizes"]]
            label = number == 0
            ax.plot(sizes, result["before"], "o", color="#0072B2", label="at initialisation" if label else None)
            ax.plot(sizes, result["after"], "D", color="#CC79A7", label="after training" if label else None)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("1 / layer size")
    ax.set_ylabel("mean square weight")


def neuron_sparsity(ax: Any, panel: Panel, records: Records) -> None:
    """The share of convolution channels, of neurons where there are none, that have at least so much pruned.

    Figure 5 of Frankle et al. 2021 counts channels alone. Results from before these were counted apart are left out.
    """
    connected = any(trial.network in FULLY_CONNECTED for trial in panel.trials())
    key, counted = ("neuron_sparsity", "neurons") if connected else ("channel_sparsity", "convolution channels")
    for line in panel.lines:
        results = [r["result"] for _, trials in line.points for r in found(trials, records)]
        if rows := [result[key] for result in results if result.get(key)]:
            shares = [100 * mean(values) for values in zip(*rows, strict=True)]
            ax.plot(range(101), shares, line.dash, color=line.colour, label=line.label)
            ax.plot([100], shares[-1:], line.marker, color=line.colour, clip_on=False)
    ax.set_xlabel("sparsity of at least (%)")
    ax.set_ylabel(f"{counted} (%)")


def layer_sparsity(ax: Any, panel: Panel, records: Records) -> None:
    """What is pruned of each layer, by method."""
    names: list[str] = []
    for line in panel.lines:
        rows = [r["result"]["layers"] for _, trials in line.points for r in found(trials, records)]
        if rows:
            names = [name for name, *_ in rows[0]]
            shares = [100 * mean(1 - layer[1] / layer[2] for layer in layers) for layers in zip(*rows, strict=True)]
            ax.plot(range(len(shares)), shares, line.dash, color=line.colour, marker=line.marker, label=line.label)
    ax.set_xticks(range(len(names)), [name.removesuffix(".weight") for name in names], rotation=90, fontsize=6)
    ax.set_ylabel("pruned (%)")


def effective_ratio(ax: Any, panel: Panel, records: Records) -> None:
    """Parameters on a path after shuffling, over those before."""
    densities: set[float] = set()
    for plain, shuffled in zip(panel.lines[::2], panel.lines[1::2], strict=True):
        rows = []
        for (density, before), (_, after) in zip(plain.points, shuffled.points, strict=True):
            ratios = [
                records[b.name]["result"]["effective"] / records[a.name]["result"]["effective"]
                for a, b in zip(before, after, strict=True)
                if a.name in records and b.name in records and records[a.name]["result"]["effective"]
            ]
            if ratios:
                rows.append((100 * density, ratios))
                densities.add(density)
        if rows:
            banded(ax, plain, rows, deviations)
    ax.axhline(1, color="black", linewidth=0.7)
    kept_axis(ax, densities)
    ax.set_ylabel("effective weights, shuffled / unmodified")
