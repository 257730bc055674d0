"""Panels that compare methods: accuracy against compression, one line per method."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.figures.panels import Line, Panel
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.methods import METHODS
from benchmarks.sweep.trial import Trial
from benchmarks.training.recipes import Recipe

SEEDS = 3


def seeds_of(choice: Choice) -> range:
    """The seeds that were chosen."""
    return range(choice.seeds or SEEDS)


def line(name: str, points: Sequence[tuple[float, tuple[Trial, ...]]]) -> Line:
    """A method's line."""
    method = METHODS[name]
    return Line(method.title, tuple(points), method.colour, method.marker)


def compared(
    choice: Choice,
    pairs: tuple[str, ...],
    *,
    methods: tuple[str, ...],
    densities: tuple[float, ...],
    recipe_of: Callable[[Choice, str], Recipe],
    limits: bool = False,
    measure: str = "accuracy",
) -> list[Panel]:
    """A measure against compression, and where asked for the critical compression of each method."""
    panels = []
    for pair in pairs:
        recipe, lines, arrows = recipe_of(choice, pair), [], []
        for name in choice.chosen(methods):
            points = [
                (d, tuple(choice.trial(measure, pair, recipe, s, name, density=d) for s in seeds_of(choice)))
                for d in choice.densities or densities
            ]
            lines.append(line(name, points))
            if limits:
                trials = tuple(choice.trial("limit", pair, recipe, seed, name) for seed in seeds_of(choice))
                arrows.append(line(name, [(0, trials)]))
        panels.append(Panel(pair, tuple(lines), tuple(arrows), {"recipe": str(recipe)}))
    return panels
