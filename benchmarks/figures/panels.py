"""A figure as panels of lines whose points are trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.sweep.choice import Choice
from benchmarks.sweep.store import Record
from benchmarks.sweep.trial import Trial

Records = dict[str, Record]


@dataclass(frozen=True)
class Line:
    """A line of a picture.

    Attributes:
        label: in the legend.
        points: a place on the axis, and the trials there, one per seed.
        colour, marker, dash: how it is drawn.
    """

    label: str
    points: tuple[tuple[float, tuple[Trial, ...]], ...]
    colour: str
    marker: str = "o"
    dash: str = "-"


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: above it.
        lines: in it.
        limits: lines whose only point is a critical compression.
        note: other values that the drawing needs.
    """

    title: str
    lines: tuple[Line, ...]
    limits: tuple[Line, ...] = ()
    note: dict[str, Any] = field(default_factory=dict)

    def trials(self) -> Iterator[Trial]:
        """All trials of the panel."""
        for line in (*self.lines, *self.limits):
            for _, trials in line.points:
                yield from trials


@dataclass(frozen=True)
class Figure:
    """A figure of a paper.

    Attributes:
        name: on the command line.
        what: it shows.
        pairs: of data set and network, the paper's.
        panels: its panels, given choices and the pairs.
        draw: draws one panel into axes.
        columns: of panels in the picture.
        band: what is drawn about the means of several seeds, in words.
        text: the text that is printed with the picture, if any.
        search: the trials to run next, given the results that are there; without it all run at once.
    """

    name: str
    what: str
    pairs: tuple[str, ...]
    panels: Callable[[Choice, tuple[str, ...]], list[Panel]]
    draw: Callable[[Any, Panel, Records], None]
    columns: int = 3
    band: str = "range"
    text: Callable[[list[Panel], Records], str] | None = None
    search: Callable[[list[Panel], Records], list[Trial]] | None = None

    def chosen(self, choice: Choice) -> list[Panel]:
        """The panels, given choices."""
        found = self.panels(choice, choice.pair or self.pairs)
        if choice.measure is None:
            return found
        return [_only(panel, choice.measure) for panel in found]

    def trials(self, choice: Choice) -> list[Trial]:
        """All trials, each once, all methods of a seed before the next seed."""
        trials = {trial.name: trial for panel in self.chosen(choice) for trial in panel.trials()}
        return sorted(trials.values(), key=lambda trial: trial.seed)

    def has(self, trial: Trial) -> bool:
        """Whether some choices give the trial."""
        return any(other.name == trial.name for other in self.trials(Choice.of(trial)))


def _only(panel: Panel, measure: str) -> Panel:
    def kept(lines: tuple[Line, ...]) -> tuple[Line, ...]:
        found = []
        for line in lines:
            points = [(x, tuple(t for t in trials if t.measure == measure)) for x, trials in line.points]
            points = [(x, trials) for x, trials in points if trials]
            if points:
                found.append(Line(line.label, tuple(points), line.colour, line.marker, line.dash))
        return tuple(found)

    return Panel(panel.title, kept(panel.lines), kept(panel.limits), panel.note)
