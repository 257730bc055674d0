"""Two figures that compare BalancedSynFlow with SynFlow and others on networks with shortcuts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.figures.accuracies import accuracy_by_compression
from benchmarks.figures.axes import curve
from benchmarks.figures.compared import compared
from benchmarks.figures.panels import Figure, Panel, Records
from benchmarks.figures.words import network_in_words
from benchmarks.sweep.choice import Choice, split
from benchmarks.training import recipes
from benchmarks.training.recipes import Recipe

NETWORKS = tuple(
    f"cifar10/{name}"
    for name in (
        "resnet20", "resnet18_width16", "mobilenet_v2", "small_convnext", "small_vit", "small_vit_attention",
    )
)  # fmt: skip
METHODS = ("synflow", "balanced", "erk", "magnitude", "snip")
COMPRESSIONS = (1, 5, 10, 20, 50, 100, 300)


def _recipe_of(choice: Choice, pair: str) -> Recipe:
    dataset, network = split(pair)
    modern = network.startswith(("small_vit", "small_convnext"))
    return choice.adjusted(recipes.transformer() if modern else recipes.frankle(dataset, network))


#: what a panel of the second figure shows of a record, and how its axis is called
QUANTITIES: dict[str, tuple[Callable[[dict[str, Any]], float | None], str]] = {
    "paths": (lambda result: 100 * result["effective"] / result["kept"], "kept weights on a path (%)"),
    "FLOPs": (lambda result: 100 * result["sparse_flops"] / result["flops"], "FLOPs (%)"),
    "path norm": (lambda result: result["log10_path_norm"], "log10 of the path norm"),
}


def _structure(choice: Choice, pairs: tuple[str, ...]) -> list[Panel]:
    panels = compared(choice, pairs, methods=METHODS, densities=_DENSITIES, recipe_of=_recipe_of, measure="structure")
    return [
        Panel(network_in_words(split(panel.title)[1]), panel.lines, note={"quantity": name})
        for panel in panels
        for name in QUANTITIES
    ]


def structure(ax: Any, panel: Panel, records: Records) -> None:
    """A quantity of the pruned networks against the compression ratio."""
    value, label = QUANTITIES[panel.note["quantity"]]
    for line in panel.lines:
        drawn = {
            trial.name: records[trial.name]
            for _, trials in line.points
            for trial in trials
            if trial.name in records and value(records[trial.name]["result"]) is not None
        }
        curve(ax, line, drawn, lambda record: float(value(record["result"]) or 0.0), lambda density: 1 / density)
    _compression_axis(ax, panel)
    ax.set_ylabel(label)


def accuracy(ax: Any, panel: Panel, records: Records) -> None:
    """Accuracy of the best epoch against the compression ratio."""
    accuracy_by_compression(ax, panel, records)
    _compression_axis(ax, panel)


def _compression_axis(ax: Any, panel: Panel) -> None:
    """An axis of compression ratios, each with its name, because there are few."""
    ratios = sorted({round(1 / density) for line in panel.lines for density, _ in line.points})
    ax.set_xscale("log")
    ax.set_xticks(ratios, [f"{ratio}" for ratio in ratios])
    ax.minorticks_off()
    ax.set_xlabel("compression ratio")


_DENSITIES = tuple(1 / ratio for ratio in COMPRESSIONS)
FIGURES = (
    Figure(
        "balanced",
        "SynFlow with equal shares for branches",
        NETWORKS,
        partial(compared, methods=METHODS, densities=_DENSITIES, recipe_of=_recipe_of),
        accuracy,
        columns=3,
    ),
    Figure(
        "balanced-structure",
        "remaining network of SynFlow with equal shares for branches",
        NETWORKS,
        _structure,
        structure,
        columns=3,
    ),
)
