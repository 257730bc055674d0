"""Tables of the figures ``harm``, ``matching``, ``cost`` and ``synflow-8``, computed as ``benchmarks plot`` does."""

from __future__ import annotations

import math
import shlex
from functools import partial
from typing import Any

from benchmarks.figures import FIGURES
from benchmarks.figures.cost import WITHIN, points
from benchmarks.figures.harm import tests_of
from benchmarks.figures.iterations import prune_over_cut
from benchmarks.figures.matching import matching
from benchmarks.figures.panels import Panel, Records
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.options import choice_of, parser
from benchmarks.sweep.trial import name_of

Rows = list[list[str]]
DIGITS = "--pair digits/vgg_small --seeds 3 --epochs-scale .5"
#: the options of each table after ``python -m benchmarks plot``
COMMANDS = {
    "harm mnist/lenet_300_100": (
        "harm --pair mnist/lenet_300_100 --seeds 3 --epochs-scale 0.1 --densities .512 .262144 .134217728 "
        ".068719476736 .035184372 .018014399 .009223372"
    ),
    "harm digits/vgg_small": f"harm {DIGITS} --densities .1 --margin 2",
    "matching digits/vgg_small": f"matching {DIGITS} --margin 2 --methods random snip",
    "cost digits/vgg_small": f"cost {DIGITS} --densities .3 .1 .03 --shrink",
    "synflow-8 digits/vgg_small": "synflow-8 --pair digits/vgg_small --iterations 20",
}
#: of results other than ``trials``: one machine timed all of them
FOLDERS = {"cost digits/vgg_small": "trials_timed"}
Found = tuple[list[Panel], Records, str]


def _found(found: dict[str, Any], command: str) -> Found:
    """The panels of a command, the records of their trials, and what stands below each table."""
    given = vars(parser(FIGURES).parse_args(["plot", *shlex.split(command)]))
    figure, choice = FIGURES[given["figure"]], choice_of(given)
    wanted = {trial.name for trial in figure.trials(choice)}
    records: Records = {}
    for record in found["rows"]:
        name = name_of(record["settings"])
        if name in wanted:
            records.setdefault(name, record)
    origins = sorted({record["origin"]["git"] for record in records.values()})
    return figure.chosen(choice), records, f"{_schedule(records, choice)}; code of {', '.join(origins)}"


def _schedule(records: Records, choice: Choice) -> str:
    epochs = sorted({record["settings"]["recipe"]["epochs"] for record in records.values()})
    seeds = f"{choice.seeds} seeds" if choice.seeds else "one seed"
    return f"{seeds}, {' or '.join(map(str, epochs))} epochs" if any(epochs) else seeds


def harm(found: dict[str, Any], command: str) -> tuple[Rows, str]:
    """The verdict of each ablation and density, with the mean difference in points.

    A row has one ablation of a method and its densities; or a method and its ablations, if there is one density.
    """
    panels, records, where = _found(found, command)
    cells: dict[tuple[str, str, float], str] = {}
    for panel in panels:
        for line, tests in tests_of(panel, records):
            for density, test in tests:
                difference = f"{test.mean:+.2f}".replace("-0.00", "+0.00")
                cells[panel.title.split("\n")[0], line.label, density] = f"{test.verdict} ({difference})"
    methods, labels, densities = (list(dict.fromkeys(key[part] for key in cells)) for part in range(3))
    pruned = [f"{100 - 100 * density:.1f} %" for density in densities]
    if len(densities) == 1:
        rows = [[m, *(cells.get((m, label, densities[0]), "") for label in labels)] for m in methods]
        rows = [["", *labels], *rows]
        where = f"{pruned[0]} pruned; {where}"
    else:
        rows = [
            [f"{m}, {label}", *(cells.get((m, label, d), "") for d in densities)] for m in methods for label in labels
        ]
        rows = [["pruned", *pruned], *rows]
    return rows, f"within {panels[0].note['margin']:g} points, mean difference in points; {where}"


def highest(found: dict[str, Any], command: str) -> tuple[Rows, str]:
    """The highest matching sparsity of each way to prune, with the densities that were trained."""
    panels, records, where = _found(found, command)
    rows: Rows = [["", "highest matching sparsity", "proven", "not refuted", "densities trained"]]
    for panel in panels:
        for line in panel.lines:
            answer = matching(line, records, panel.note["margin"])
            shown = [f"{100 - 100 * d:.1f} %" for d in (answer.likely, answer.proven, answer.possible)]
            trained = sum(all(trial.name in records for trial in trials) for d, trials in line.points if d < 1)
            rows.append([line.label, shown[0] + " so far" * bool(answer.wanted), *shown[1:], str(trained)])
    return rows, f"within {panels[0].note['margin']:g} points of unpruned; {where}"


def costs(found: dict[str, Any], command: str) -> tuple[Rows, str]:
    """Accuracy, and cost relative to unpruned training in FLOPs and in seconds, by way and compression."""
    panels, records, where = _found(found, command)
    by_unit: dict[str, dict[tuple[str, float], tuple[float, float]]] = {}
    dense: dict[str, tuple[float, float]] = {}
    for panel in panels:
        unit = panel.note["unit"]
        by_unit[unit] = {}
        for line in panel.lines:
            for density, cost, accuracy in points(line, records, unit):
                if density == 1:
                    dense[unit] = cost, accuracy
                else:
                    by_unit[unit][line.label, density] = cost, accuracy
    rows: Rows = [["", "compression ratio", "accuracy, %", "FLOPs", "seconds", "within, points"]]
    for (label, density), (cost, accuracy) in by_unit["FLOPs"].items():
        timed = by_unit["seconds"].get((label, density), (math.nan, math.nan))[0] / dense["seconds"][0]
        near = next((f"{within:g}" for within in WITHIN if accuracy >= dense["FLOPs"][1] - within), "")
        ratios = [f"{cost / dense['FLOPs'][0]:.2f}", "" if math.isnan(timed) else f"{timed:.2f}"]
        rows.append([label, f"{1 / density:.0f}", f"{accuracy:.1f}", *ratios, near])
    unpruned = f"unpruned: {dense['FLOPs'][1]:.1f} %, {dense['FLOPs'][0]:.3g} FLOPs and {dense['seconds'][0]:.2f} s"
    return rows, f"{unpruned}, to which costs are relative; {where}"


def sizes(found: dict[str, Any], command: str) -> tuple[Rows, str]:
    """The greatest prune size over cut size by schedule, iterations and compression ratio, with empty layers."""
    panels, records, where = _found(found, command)
    ratios = [-math.log10(trials[0].density) for trials in (line.points[0][1] for line in panels[0].lines)]
    rows: Rows = [["schedule", "iterations", *(f"10\\ :sup:`{ratio:g}`" for ratio in ratios)]]
    for panel in panels:
        for number, (count, _) in enumerate(panel.lines[0].points):
            results = [records[line.points[number][1][0].name]["result"] for line in panel.lines]
            empty = [f" ({len(result['empty_layers'])} empty)" * bool(result["empty_layers"]) for result in results]
            cells = [f"{prune_over_cut(result):.2f}{e}" for result, e in zip(results, empty, strict=True)]
            rows.append([panel.title.split("\n")[0], f"{count:g}", *cells])
    return rows, where


_MAKE = {"harm": harm, "matching": highest, "cost": costs, "synflow-8": sizes}
#: the function that makes a table, and its file
TABLES = {
    name: (partial(_MAKE[name.split()[0]], command=command), f"{FOLDERS.get(name, 'trials')}/*.jsonl")
    for name, command in COMMANDS.items()
}
