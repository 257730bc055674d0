"""Pictures that read in print: a mean line, a band from minimum to maximum, and the same colour a method everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import linear_regression, mean, median
from typing import Any

from benchmarks.figures.panels import Line, Panel, Records
from benchmarks.store import Record
from benchmarks.trial import Trial


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


def curve(
    ax: Any, line: Line, records: Records, value: Callable[[Record], float], place: Callable[[float], float]
) -> None:
    """A mean line and a band from the lowest to the highest."""
    rows = [(place(x), [value(r) for r in found(trials, records)]) for x, trials in line.points]
    rows = sorted((x, values) for x, values in rows if values)
    if not rows:
        return
    xs = [x for x, _ in rows]
    ax.plot(xs, [mean(v) for _, v in rows], line.dash, color=line.colour, marker=line.marker, label=line.label)
    ax.fill_between(
        xs, [min(v) for _, v in rows], [max(v) for _, v in rows], color=line.colour, alpha=0.18, linewidth=0
    )


def _best(record: Record) -> float:
    return float(record["result"]["best_accuracy"])


def _last(record: Record) -> float:
    return float(record["result"]["accuracy"])


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
        for tick in (98, 96, 90, 80, 60, 20, 0, 99, 94, 92, 85, 70, 40):  # the first that fit, none too near another
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
        ax.set_title(f"critical compression, {panel.title}")


def accuracy_by_density(ax: Any, panel: Panel, records: Records) -> None:
    """Accuracy at the end of training against the share of weights that stay."""
    for line in panel.lines:
        curve(ax, line, records, _last, lambda density: 100 * density)
    densities = {x for line in panel.lines for x, trials in line.points if any(True for _ in found(trials, records))}
    if 1.0 in densities:
        whole = [r for line in panel.lines for x, t in line.points if x == 1 for r in found(t, records)]
        ax.axhline(mean(map(_last, whole)), color="#555555", linewidth=0.8, linestyle=(0, (1, 2)))
    kept_axis(ax, densities)
    accuracy_axis(ax, "test accuracy (%)")


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


def accuracy_by_time(ax: Any, panel: Panel, records: Records) -> None:
    """Accuracy against the epoch after which the network was pruned."""
    for line in panel.lines:
        curve(ax, line, records, _last, float)
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


def layer_profile(ax: Any, panel: Panel, records: Records) -> None:
    """What is left of each layer, fainter the higher the compression, dashed once a layer is empty."""
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
    ax.set_ylabel("share kept")


def units(ax: Any, panel: Panel, records: Records) -> None:
    """Each hidden unit's scores of the weights into it and out of it, and by how much of the larger they differ."""
    (line,) = panel.lines
    drawn = [r["result"] for _, trials in line.points for r in found(trials, records)]
    pairs = [pair for r in drawn for pair in zip(r["into"], r["out"], strict=True)]
    places = [(abs(a), abs(b)) for a, b in pairs if a and b]
    if places:
        apart = [abs(a - b) / max(abs(a), abs(b)) for a, b in pairs if a or b]
        ax.text(0.97, 0.04, f"apart by {100 * median(apart):.3g} %", transform=ax.transAxes, ha="right")
        xs, ys = zip(*places, strict=True)
        ax.plot(xs, ys, ".", color=line.colour, markersize=2, alpha=0.6)
        ends = [min(*xs, *ys), max(*xs, *ys)]
        ax.plot(ends, ends, ":", color="black", linewidth=0.9, label="in = out")
        ax.set_xscale("log")
        ax.set_yscale("log")
        plain_minor_ticks(ax)
    ax.set_xlabel("|sum of scores in|")
    ax.set_ylabel("|sum of scores out|")


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
        scored = [(math.log(x), math.log(y)) for x, y in zip(xs, ys, strict=True) if y > 0]
        slope = linear_regression([x for x, _ in scored], [y for _, y in scored]).slope
        ax.text(0.05, 0.9, f"slope {round(slope, 2) + 0.0:.2f}", transform=ax.transAxes)
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
    """The share of neurons that have at least so much pruned."""
    for line in panel.lines:
        rows = [r["result"]["neuron_sparsity"] for _, trials in line.points for r in found(trials, records)]
        if rows := [row for row in rows if row]:
            shares = [100 * mean(values) for values in zip(*rows, strict=True)]
            end = f"{line.label}"
            ax.plot(range(101), shares, line.dash, color=line.colour, label=end)
            ax.plot([100], shares[-1:], line.marker, color=line.colour, clip_on=False)
    ax.set_xlabel("sparsity of a neuron, at least (%)")
    ax.set_ylabel("neurons (%)")


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
            xs = [x for x, _ in rows]
            ax.plot(xs, [mean(r) for _, r in rows], color=plain.colour, marker=plain.marker, label=plain.label)
            low, high = [min(r) for _, r in rows], [max(r) for _, r in rows]
            ax.fill_between(xs, low, high, color=plain.colour, alpha=0.18, linewidth=0)
    ax.axhline(1, color="black", linewidth=0.7)
    kept_axis(ax, densities)
    ax.set_ylabel("effective, shuffled / unmodified")
