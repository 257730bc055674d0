"""Replications of SNIP, GraSP and SynFlow: figure 7 and tables 1 to 7 of Frankle et al. 2021 (appendices B to D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean
from typing import Any

from benchmarks.figures.accuracies import accuracy_by_density
from benchmarks.figures.axes import found
from benchmarks.figures.frankle import EARLY, line_of, recipe_of, seeds_of
from benchmarks.figures.panels import Figure, Line, Panel, Records
from benchmarks.figures.ways import compared
from benchmarks.figures.words import network_in_words
from benchmarks.sweep.choice import Choice, split
from benchmarks.sweep.methods import METHODS
from benchmarks.training import recipes
from benchmarks.training.recipes import Recipe

HALVES = tuple(0.5**step for step in range(11))  # appendix D.4: intervals of 50 % of what is left, to 99.9 %
REPLICATED = ("cifar10/vgg11_bn", "cifar10/vgg16_bn", "cifar10/resnet18", "tinyimagenet/resnet18")  # table 6
CIFAR_RESNET18 = Recipe(epochs=160, batch=256, rate=0.2, drops=(80.0, 120.0))  # table 7: modified


def as_reported(pair: str) -> Recipe:
    """What table 7 calls hyperparameters reported by Tanaka et al.; initialised as by Frankle et al. (appendix D.4)."""
    return replace(recipes.synflow(*split(pair)), initialisation="fan_in", gamma="uniform")


@dataclass(frozen=True)
class Published:
    """A line of a table: an accuracy, as the method's paper reports it and as Frankle et al. came to it.

    Attributes:
        pair: data set and network.
        density: kept / total.
        reported, replicated: in percent, None where there is none.
        recipe: if another than that of the pair.
    """

    pair: str
    density: float
    reported: float | None
    replicated: float | None
    recipe: Recipe | None = None


def _rows(pair: str, unpruned: tuple[float, float], *pruned: tuple[int, float, float | None]) -> list[Published]:
    rows = [(round(1 - sparsity / 100, 4), reported, ours) for sparsity, reported, ours in pruned]
    return [Published(pair, density, reported, ours) for density, reported, ours in ((1.0, *unpruned), *rows)]


#: by table: the method, and what stands in it; tables 1, 4 and 6 name the networks of 2, 3 and 5, and 7
TABLES: dict[str, tuple[str, list[Published]]] = {
    "2": ("snip", [
        *_rows("cifar10/vgg16_bn", (91.7, 93.6), (97, 92.0, 92.1)),
        *_rows("cifar10/vgg2_16_bn", (93.2, 93.5), (95, 92.9, 92.3)),
        *_rows("cifar10/wrn_14_8", (93.8, 95.2), (95, 93.4, 93.4)),
        *_rows("cifar10/wrn_14_10", (94.1, 95.4), (95, 93.6, 93.9)),
        *_rows("cifar10/wrn_20_8", (93.9, 95.6), (95, 94.1, 94.3)),
    ]),
    "3": ("snip", [
        *_rows("cifar10/vgg19_bn", (94.2, 93.5), (90, 93.6, 93.5), (95, 93.4, 93.4), (98, 92.1, None)),
        *_rows("cifar10/wrn_32_2", (94.8, 94.5), (90, 92.6, 92.5), (95, 91.1, 91.0), (98, 87.5, 87.7)),
        *_rows("imagenet/torchvision_resnet50", (75.7, 76.2), (60, 74.0, 73.9), (80, 69.7, 71.2), (90, 62.0, 65.7)),
    ]),
    "5": ("grasp", [
        *_rows("cifar10/vgg19_bn", (94.2, 93.5), (90, 93.3, 92.8), (95, 93.0, 92.5), (98, 92.2, 91.6)),
        *_rows("cifar10/wrn_32_2", (94.8, 94.5), (90, 92.4, 92.2), (95, 91.4, 90.9), (98, 88.8, 88.3)),
        *_rows("imagenet/torchvision_resnet50", (75.7, 76.2), (60, 74.0, 73.4), (80, 72.0, 71.0), (90, 68.1, 67.0)),
    ]),
    "7": ("none", [
        Published("cifar10/vgg11_bn", 1.0, 92, 92.0), Published("cifar10/vgg16_bn", 1.0, 94, 93.5),
        Published("cifar10/resnet18", 1.0, 95, 93.7, as_reported("cifar10/resnet18")),
        Published("cifar10/resnet18", 1.0, None, 94.6, CIFAR_RESNET18),
        Published("tinyimagenet/resnet18", 1.0, 64, 58.8, as_reported("tinyimagenet/resnet18")),
        Published("tinyimagenet/resnet18", 1.0, None, 64),
    ]),
}  # fmt: skip


def _figure_7(choice: Choice, pairs: tuple[str, ...]) -> list[Panel]:
    """Accuracy against density, one panel per pair."""
    panels = []
    for pair in pairs:
        recipe = CIFAR_RESNET18 if pair == "cifar10/resnet18" else recipes.frankle(*split(pair))
        adjusted = choice.adjusted(recipe)
        chosen = replace(choice, recipe=dict(vars(adjusted)), epochs_scale=1.0)
        ways = compared(choice, EARLY)
        lines = tuple(line_of(chosen, pair, way, choice.densities or HALVES) for way in ways)
        panels.append(Panel(pair, lines, note={"recipe": str(adjusted)}))
    return panels


def _table(choice: Choice, pairs: tuple[str, ...], *, table: str) -> list[Panel]:
    """One panel with one line per line of the table; other pairs than the table's have no published numbers."""
    method, published = TABLES[table]
    known = {row.pair for row in published}
    rows = [row for row in published if row.pair in pairs and choice.densities is None]
    for pair in pairs:
        if pair not in known or choice.densities is not None:
            rows += [Published(pair, d, None, None) for d in choice.densities or sorted({r.density for r in published})]
    lines, notes = [], []
    for row in rows:
        recipe = recipe_of(choice, row.pair) if row.recipe is None else choice.adjusted(row.recipe)
        trials = tuple(
            choice.trial("accuracy", row.pair, recipe, seed, method, density=row.density)
            for seed in seeds_of(choice, row.pair)
        )
        pruned = f", {100 - 100 * row.density:.0f} % pruned" if row.density < 1 else ""
        colour = METHODS[method].colour if method in METHODS else "#555555"
        rate = f", rate {recipe.rate:g}" if row.recipe is not None or table == "7" else ""
        label = f"{network_in_words(split(row.pair)[1])}{pruned}{rate}"
        lines.append(Line(label, ((row.density, trials),), colour))
        notes.append((row.reported, row.replicated))
    title = f"table {table}" + (f", {METHODS[method].title}" if method in METHODS else ", unpruned")
    return [Panel(title, tuple(lines), note={"published": notes})]


def _ours(line: Line, records: Records) -> list[float]:
    return [r["result"]["accuracy"] for _, trials in line.points for r in found(trials, records)]


def draw_table(ax: Any, panel: Panel, records: Records) -> None:
    """Reported, replicated and ours, one row of dots per line."""
    for height, (line, (reported, replicated)) in enumerate(zip(panel.lines, panel.note["published"], strict=True)):
        for value, marker, label in ((reported, "x", "reported"), (replicated, "|", "Frankle et al.")):
            if value is not None:
                ax.plot([value], [height], marker, color="black", label=label, markersize=6)
        if values := _ours(line, records):
            ax.plot([min(values), max(values)], [height, height], "-", color=line.colour)
            ax.plot([mean(values)], [height], "o", color=line.colour, label="ours")
    ax.set_yticks(range(len(panel.lines)), [line.label for line in panel.lines])
    ax.invert_yaxis()
    ax.set_xlabel("test accuracy (%)")


def table_text(panels: Sequence[Panel], records: Records) -> str:
    """The table itself."""
    lines = []
    for panel in panels:
        lines.append(f"{panel.title:<44}{'reported':>10}{'replicated':>12}{'ours':>8}{'lowest':>9}{'highest':>9}")
        for line, published in zip(panel.lines, panel.note["published"], strict=True):
            values = _ours(line, records)
            cells = [*published, *((mean(values), min(values), max(values)) if values else (None,) * 3)]
            shown = ["-" if cell is None else f"{cell:.1f}" for cell in cells]
            lines.append(f"{line.label:<44}{shown[0]:>10}{shown[1]:>12}{shown[2]:>8}{shown[3]:>9}{shown[4]:>9}")
    return "\n".join(lines)


FIGURES = (
    Figure("frankle-7", "replication of SynFlow's figure 6", REPLICATED, _figure_7, accuracy_by_density, columns=2),
    *(
        Figure(f"frankle-table-{name}", f"accuracies of table {name} of appendices B to D",
               tuple(dict.fromkeys(row.pair for row in rows)), partial(_table, table=name), draw_table, columns=1,
               text=table_text)
        for name, (_, rows) in TABLES.items()
    ),
)  # fmt: skip
