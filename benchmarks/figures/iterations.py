"""Schedule and number of SynFlow's iterations: prune size over cut size, and accuracy (Tanaka et al., appendix 12)."""

from __future__ import annotations

from functools import partial
from math import log10
from statistics import mean
from typing import Any

from benchmarks.figures.accuracies import accuracy_by_compression
from benchmarks.figures.axes import found, shade
from benchmarks.figures.panels import Figure, Line, Panel, Records
from benchmarks.figures.synflow import recipe_of
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.methods import METHODS

SCHEDULES = ("linear", "exponential")
#: as in ``Experiments/synaptic-flow-ratio.py`` of the authors' repository; its ratio of 1 prunes nothing
ITERATIONS = (1, *range(10, 101, 10))
DENSITIES = tuple(10**-power for power in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0))


def _counts(choice: Choice, counts: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of iterations; those up to the one that was chosen."""
    most = choice.iterations
    return counts if most is None else (*(count for count in counts if count < most), most)


def _sizes(choice: Choice, pairs: tuple[str, ...]) -> list[Panel]:
    """One panel per schedule, one line per compression ratio, one point per number of iterations."""
    panels = []
    for pair in pairs:
        recipe = recipe_of(choice, pair)
        for schedule in SCHEDULES:
            lines = []
            densities = choice.densities or DENSITIES
            for number, density in enumerate(densities):
                points = tuple(
                    (float(count), tuple(
                        choice.trial("cuts", pair, recipe, seed, "synflow", density=density, iterations=count,
                                     pruning_schedule=schedule)
                        for seed in range(choice.seeds or 1)
                    ))
                    for count in _counts(choice, ITERATIONS)
                )  # fmt: skip
                colour = shade(METHODS["synflow"].colour, 1.7 - 1.2 * (number + 1) / len(densities))
                lines.append(Line(rf"ratio $10^{{{-log10(density):g}}}$", points, colour, "osD^vPX*"[number % 8]))
            panels.append(Panel(f"{schedule}\n{pair}", tuple(lines)))
    return panels


def prune_over_cut(result: dict[str, Any]) -> float:
    """The greatest prune size over cut size of all iterations."""
    pairs = zip(result["prune_sizes"], result["cut_sizes"], strict=True)
    return float(max(pruned / cut for pruned, cut in pairs if cut))


def sizes(ax: Any, panel: Panel, records: Records) -> None:
    """Below the dotted line theorem 3 holds; a cross is where a layer came out empty."""
    for line in panel.lines:
        rows = [(x, [r["result"] for r in found(trials, records)]) for x, trials in line.points]
        rows = [(x, results) for x, results in rows if results]
        if rows:
            ys = [mean(map(prune_over_cut, results)) for _, results in rows]
            ax.plot([x for x, _ in rows], ys, line.dash, color=line.colour, marker=line.marker, label=line.label)
            empty = [
                (x, y) for (x, results), y in zip(rows, ys, strict=True) if any(r["empty_layers"] for r in results)
            ]
            ax.plot([x for x, _ in empty], [y for _, y in empty], "kx", markersize=6)
    ax.axhline(1, color="black", linestyle=":", linewidth=0.9)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("iterations (x: a layer is empty)")
    ax.set_ylabel("max prune size / cut size")


def _accuracies(choice: Choice, pairs: tuple[str, ...], *, counts: tuple[int, ...]) -> list[Panel]:
    """Accuracy against compression, with one panel per schedule and one line per number of iterations."""
    panels = []
    for pair in pairs:
        recipe = recipe_of(choice, pair)
        for schedule in SCHEDULES:
            lines = []
            for number, count in enumerate(_counts(choice, counts)):
                points = tuple(
                    (density, tuple(
                        choice.trial("accuracy", pair, recipe, seed, "synflow", density=density, iterations=count,
                                     pruning_schedule=schedule)
                        for seed in range(choice.seeds or 3)
                    ))
                    for density in choice.densities or tuple(10 ** -(step / 2) for step in range(9))
                )  # fmt: skip
                colour = shade(METHODS["synflow"].colour, 1.6 - 0.3 * number)
                lines.append(Line(f"{count} iteration{'s' if count > 1 else ''}", points, colour, "osD^v"[number % 5]))
            panels.append(Panel(f"{schedule}\n{pair}", tuple(lines), note={"recipe": str(recipe)}))
    return panels


FIGURES = (
    Figure("synflow-8", "prune size over cut size by schedule and iterations", ("imagenet/vgg19_bn",), _sizes, sizes,
           columns=2),
    Figure("synflow-9", "accuracy by schedule and iterations", ("cifar100/vgg16_bn",),
           partial(_accuracies, counts=(1, 5, 20, 100)), accuracy_by_compression, columns=2),
)  # fmt: skip
