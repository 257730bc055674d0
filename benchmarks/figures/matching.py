"""The highest matching sparsity of each way to prune, found by bisection over densities with paired seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.figures.equivalence import MARGIN, PairedTest, paired
from benchmarks.figures.frankle import EARLY, MAIN, line_of, recipe_of
from benchmarks.figures.panels import Figure, Line, Panel, Records
from benchmarks.figures.ways import AFTER, TICKET, compared
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.trial import Trial

#: the places of the bisection, four in each step of the paper's axes
FINE = tuple(0.8 ** (step / 4) for step in range(73))
BUDGET = 1000  # trials, all lines together


def bracket(holds: Callable[[int], bool | None], last: int) -> tuple[int, int, int | None]:
    """Bisect for the last of ``0 ... last`` for which something holds that holds up to there, and of 0.

    Returns:
        The last for which it is known to hold, the first for which it is known not to (``last + 1`` if none is), and
        the one to find out about next, None at the end.

    Example:
        >>> bracket(lambda place: place <= 6, 9)
        (6, 7, None)
        >>> bracket(lambda place: None, 9)
        (0, 10, 5)
    """
    low, high = 0, last + 1
    while high - low > 1:
        middle = (low + high) // 2
        answer = holds(middle)
        if answer is None:
            return low, high, middle
        low, high = (middle, high) if answer else (low, middle)
    return low, high, None


@dataclass(frozen=True)
class Matching:
    """What is known of the highest matching sparsity of a line.

    A density matches where the network is no worse than the unpruned one by more than the margin.

    Attributes:
        proven: the lowest density down to which tests say so.
        likely: the lowest density down to which means do.
        possible: the lowest density down to which no test says the contrary.
        wanted: densities of which results would tell more.
    """

    proven: float
    likely: float
    possible: float
    wanted: tuple[float, ...]

    def __str__(self) -> str:
        """Sparsities in percent, the mean's and the interval."""
        likely, low, high = (100 - 100 * density for density in (self.likely, self.proven, self.possible))
        return f"{likely:.1f} % pruned [{low:.1f}, {high:.1f}]" + (" so far" if self.wanted else "")


def matching(line: Line, records: Records, margin: float) -> Matching:
    """What the results that are there tell of a line, whose first point is the unpruned network."""
    points = sorted(line.points, key=lambda point: -point[0])
    densities, dense = [density for density, _ in points], points[0][1]

    def test(place: int) -> PairedTest | None:
        if any(trial.name not in records for trial in (*points[place][1], *dense)):
            return None  # with all its seeds or not at all: to stop at a result that pleases would spoil the level
        return paired(points[place][1], dense, records, margin)

    def where(holds: Callable[[PairedTest], bool]) -> Callable[[int], bool | None]:
        return lambda place: None if (found := test(place)) is None else holds(found)

    last = len(points) - 1
    proven = bracket(where(lambda found: found.p_no_worse <= found.level), last)
    likely = bracket(where(lambda found: found.mean >= -margin), last)
    possible = bracket(where(lambda found: found.interval[1] >= -margin), last)
    wanted = dict.fromkeys(next_ for *_, next_ in (likely, proven, possible) if next_ is not None)
    return Matching(
        densities[proven[0]], densities[likely[0]], densities[possible[1] - 1], tuple(densities[w] for w in wanted)
    )


def proposed(panels: Sequence[Panel], records: Records) -> list[Trial]:
    """The trials that the bisections ask for next, one density per line, as far as the budget goes."""
    every = {trial.name for panel in panels for trial in panel.trials()}
    spent = len(every & records.keys())
    found: dict[str, Trial] = {}
    for panel in panels:
        for line in panel.lines:
            wanted = matching(line, records, panel.note["margin"]).wanted[:1]
            trials = [t for density, of in line.points if density in (1.0, *wanted) and wanted for t in of]
            new = {t.name: t for t in trials if t.name not in records and t.name not in found}
            if spent + len(found) + len(new) <= panel.note["budget"]:
                found |= new
    return list(found.values())


def _panels(choice: Choice, pairs: tuple[str, ...]) -> list[Panel]:
    ways = compared(choice, (*EARLY, AFTER, TICKET))
    densities = tuple(dict.fromkeys((1.0, *(choice.densities or FINE))))
    return [
        Panel(
            pair,
            tuple(line_of(choice, pair, way, densities) for way in ways),
            note={
                "recipe": str(recipe_of(choice, pair)),
                "margin": MARGIN if choice.margin is None else choice.margin,
                "budget": choice.budget or BUDGET,
            },
        )
        for pair in pairs
    ]


def draw(ax: Any, panel: Panel, records: Records) -> None:
    """A dot and an interval a line."""
    for height, line in enumerate(panel.lines):
        found = matching(line, records, panel.note["margin"])
        low, middle, high = (100 - 100 * density for density in (found.proven, found.likely, found.possible))
        ax.plot([low, high], [height, height], line.dash, color=line.colour)
        ax.plot([middle], [height], line.marker, color=line.colour)
        ax.annotate(str(found), (min(low, 60), height), xytext=(0, 4), textcoords="offset points", fontsize=6)
    ax.set_yticks(range(len(panel.lines)), [line.label for line in panel.lines])
    ax.set_ylim(-0.5, len(panel.lines) - 0.2)
    ax.set_xlim(-2, 102)
    ax.set_xlabel(f"pruned (%), within {panel.note['margin']:g} points of unpruned")


def text(panels: Sequence[Panel], records: Records) -> str:
    """A line a way."""
    rows = [
        f"{panel.title:<34}{line.label:<38}{matching(line, records, panel.note['margin'])}"
        for panel in panels
        for line in panel.lines
    ]
    return "\n".join(["highest matching sparsity: by means [proven, not refuted at 5 %]", *rows])


FIGURES = (
    Figure("matching", "highest matching sparsities by bisection", MAIN, _panels, draw, columns=2, text=text,
           search=proposed),
)  # fmt: skip
