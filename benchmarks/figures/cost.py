"""The cost of an accuracy: finding the mask and the following training, in FLOPs and in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import mean
from typing import Any

import torch

from benchmarks.figures.axes import accuracy_axis
from benchmarks.figures.frankle import EARLY, SMALL, SWEEP, line_of, recipe_of
from benchmarks.figures.panels import Figure, Line, Panel, Records
from benchmarks.figures.ways import AFTER, TICKET, compared
from benchmarks.sweep.choice import Choice, split
from benchmarks.sweep.estimate import COUNTS
from benchmarks.sweep.methods import METHODS
from benchmarks.sweep.store import Record
from benchmarks.sweep.trial import Trial
from benchmarks.training.kinds import KINDS
from benchmarks.training.networks import NETWORKS, pruned_parameters
from torch_synflow import diagnostics, prune

STEP = 3  # forward passes that a forward and a backward pass take: the backward one is two products for each of its
WITHIN = (0.5, 1.0, 2.0, 5.0)  # points of the unpruned accuracy


@lru_cache
def forward_flops(pair: str) -> tuple[dict[str, int], int]:
    """FLOPs of one example, by pruned layer and for the rest of the network."""
    dataset, network = split(pair)
    kind = KINDS[dataset]
    with torch.random.fork_rng(devices=[]):
        model = NETWORKS[network](kind.classes, kind.channels, kind.size)
    costs = diagnostics.cost(model, torch.ones(1, *kind.shape), pruned_parameters(network, model))
    return {layer.name: layer.flops for layer in costs.layers}, costs.other_flops


def scoring_flops(trial: Trial, forward: int) -> float:
    """FLOPs of finding the mask: passes of the whole network, though some methods compute less as they prune.

    An example takes a forward and a backward pass, for GraSP three times as much (the product with the Hessian is the
    derivative of a gradient), for Optimal Brain Damage a backward pass for each class but one.
    """
    method = METHODS[trial.method].pruning_method if trial.method in METHODS else prune.L1Unstructured
    if not issubclass(method, prune.SaliencyUnstructured):
        return 0.0
    classes = KINDS[trial.dataset].classes
    passes = diagnostics.passes(method, examples=max(1, trial.examples * classes), iterations=trial.iterations)
    if issubclass(method, prune.OptimalBrainDamage):
        return float(passes * (1 + 2 * (classes - 1)) * forward)
    return float(passes * STEP * forward * (3 if issubclass(method, prune.GraSP) else 1))


def flops(trial: Trial, record: Record) -> float:
    """FLOPs of a trial: training before it is pruned, finding the mask, and training of what is kept."""
    layers, other = forward_flops(trial.pair)
    forward = sum(layers.values()) + other
    sparse = other + sum(layers[name] * kept / total for name, kept, total in record["result"]["layers"])
    images = COUNTS[trial.dataset]
    before = trial.prune_epoch * trial.levels * images * STEP * forward  # as if no level but the last pruned anything
    return float(before + scoring_flops(trial, forward) + trial.recipe.epochs * images * STEP * sparse)


def seconds(record: Record) -> float:
    """Seconds of a trial at initialisation: pruning, making the network smaller where it was, and training."""
    spent = record["origin"]["seconds"]
    return float(sum(spent.get(part, 0.0) for part in ("pruning", "shrinking", "training")))


def _panels(choice: Choice, pairs: tuple[str, ...]) -> list[Panel]:
    panels = []
    for pair in pairs:
        ways = compared(choice, (*EARLY, AFTER, TICKET))
        densities = tuple(dict.fromkeys((1.0, *(choice.densities or SWEEP))))
        recipe = recipe_of(choice, pair)
        for unit in ("FLOPs", "seconds"):
            # of what is pruned after training, the training is remembered between trials and in no trial's time
            timed = [way for way in ways if unit == "FLOPs" or "prune_epoch" not in way.settings]
            lines = tuple(line_of(choice, pair, way, densities) for way in timed)
            how = "" if unit == "FLOPs" else ", shrunk" if recipe.shrink else ", masked"
            panels.append(Panel(f"{pair}: {unit}{how}", lines, note={"recipe": str(recipe), "unit": unit}))
    return panels


def points(line: Line, records: Records, unit: str) -> list[tuple[float, float, float]]:
    """Density, mean cost and mean accuracy."""
    rows = []
    for density, trials in line.points:
        there = [(trial, records[trial.name]) for trial in trials if trial.name in records]
        if there:
            costs = [flops(trial, record) if unit == "FLOPs" else seconds(record) for trial, record in there]
            rows.append((density, mean(costs), mean(float(r["result"]["accuracy"]) for _, r in there)))
    return rows


def draw(ax: Any, panel: Panel, records: Records) -> None:
    """Accuracy against cost, a line through the densities of a method."""
    for line in panel.lines:
        rows = points(line, records, panel.note["unit"])
        pruned = sorted(row for row in rows if row[0] < 1)
        if pruned:
            ax.plot([c for _, c, _ in pruned], [a for *_, a in pruned], line.dash, color=line.colour,
                    marker=line.marker, label=line.label)  # fmt: skip
        for density, cost, accuracy in rows:
            if density == 1:
                ax.plot([cost], [accuracy], "k+", markersize=7)
    ax.set_xscale("log")
    ax.set_xlabel(f"{panel.note['unit']} to find the mask and to train (+: unpruned)")
    if ax.lines:
        accuracy_axis(ax, "test accuracy (%)")


def text(panels: Sequence[Panel], records: Records) -> str:
    """The least cost at which each method comes within so many points of unpruned, over that of unpruned training."""
    rows = ["least cost within these points of the unpruned accuracy, relative to unpruned training (density)"]
    for panel in panels:
        rows.append(f"{panel.title:<52}" + "".join(f"{within:>18g}" for within in WITHIN))
        for line in panel.lines:
            every = points(line, records, panel.note["unit"])
            whole = next(((cost, accuracy) for density, cost, accuracy in every if density == 1), None)
            if whole is None:
                continue
            cells = []
            for within in WITHIN:
                near = [(c / whole[0], d) for d, c, accuracy in every if d < 1 and accuracy >= whole[1] - within]
                cells.append(f"{min(near)[0]:.3f} ({100 * min(near)[1]:.3g} %)" if near else "-")
            rows.append(f"{line.label:<52}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(rows)


FIGURES = (
    Figure("cost", "accuracy against the cost of finding the mask and training", SMALL, _panels, draw, columns=2,
           text=text),
)  # fmt: skip
