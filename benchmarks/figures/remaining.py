"""Weights left over training, of networks that come near the unpruned one (Frankle et al. 2021, figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from benchmarks.figures.axes import found
from benchmarks.figures.frankle import EARLY, MAIN, SWEEP, line_of, recipe_of
from benchmarks.figures.panels import Figure, Line, Panel, Records
from benchmarks.figures.ways import AFTER, TICKET, compared
from benchmarks.sweep.choice import Choice

NEAR = 1.0  # points of accuracy


def _panels(choice: Choice, pairs: tuple[str, ...]) -> list[Panel]:
    ways = compared(choice, (*EARLY, TICKET, AFTER))
    densities = tuple(dict.fromkeys((1.0, *(choice.densities or SWEEP))))
    margin = NEAR if choice.margin is None else choice.margin
    return [
        Panel(
            pair,
            tuple(line_of(choice, pair, way, densities) for way in ways),
            note={"recipe": str(recipe_of(choice, pair)), "margin": margin, "epochs": recipe_of(choice, pair).epochs},
        )
        for pair in pairs
    ]


def lowest_near(line: Line, records: Records, margin: float) -> float | None:
    """The lowest density at which the mean accuracy is within the margin of the unpruned; None without results."""
    means = {
        density: mean(r["result"]["accuracy"] for r in of)
        for density, trials in line.points
        if (of := list(found(trials, records)))
    }
    if 1.0 not in means:
        return None
    return min(density for density, accuracy in means.items() if accuracy >= means[1.0] - margin)


def weights_left(line: Line, density: float, epochs: float) -> list[tuple[float, float]]:
    """Epoch and density at each step of the line: all until it is pruned, or from where a ticket is rewound to."""
    trial = next(trials[0] for at, trials in line.points if at == density)
    pruned = trial.prune_epoch if trial.rewind_epoch is None else trial.rewind_epoch
    return [(0.0, 1.0), (pruned, 1.0), (pruned, density), (epochs, density)]


def draw(ax: Any, panel: Panel, records: Records) -> None:
    """Steps; dashed where the mask comes from a network that was trained to the end (rewinding)."""
    epochs = panel.note["epochs"]
    for line in panel.lines:
        density = lowest_near(line, records, panel.note["margin"])
        if density is not None:
            xs, ys = zip(*weights_left(line, density, epochs), strict=True)
            label = f"{line.label}: {100 * density:.3g} %"  # lines of one density hide each other
            ax.plot(xs, [100 * y for y in ys], line.dash, color=line.colour, label=label)
            ax.plot([epochs], [100 * density], line.marker, color=line.colour, clip_on=False)
    ax.set_xlabel("epoch")
    ax.set_ylabel("weights left (%)")
    ax.set_ylim(0, 104)
    ax.set_xlim(0, 1.02 * epochs)


def text(panels: Sequence[Panel], records: Records) -> str:
    """The share of weights, and the area under the steps over that of the unpruned network."""
    rows = [
        "lowest share of weights within the margin of the unpruned accuracy, and weights over training (unpruned: 1)"
    ]
    for panel in panels:
        for line in panel.lines:
            density = lowest_near(line, records, panel.note["margin"])
            if density is not None:
                (_, _), (pruned, _), *_ = weights_left(line, density, panel.note["epochs"])
                area = (pruned + density * (panel.note["epochs"] - pruned)) / panel.note["epochs"]
                rows.append(f"{panel.title:<34}{line.label:<38}{100 * density:7.2f} %{area:9.3f}")
    return "\n".join(rows)


FIGURES = (
    Figure("frankle-1", "weights left during training, near unpruned accuracy", (MAIN[-1],), _panels, draw, columns=2,
           text=text),
)  # fmt: skip
