"""The effect on accuracy of shuffles of every granularity and of new weights, paired by seed, against a margin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.figures.axes import kept_axis
from benchmarks.figures.equivalence import MARGIN, PairedTest, paired
from benchmarks.figures.frankle import FOUR, SMALL, SWEEP, line_of, recipe_of
from benchmarks.figures.panels import Figure, Line, Panel, Records
from benchmarks.figures.ways import AFTER, ablated, at_start, compared
from benchmarks.sweep.choice import Choice, split
from benchmarks.training.networks import FULLY_CONNECTED

KINDS = ("shuffle", "shuffle_neuron", "shuffle_input", "shuffle_kernel", "shuffle_effective", "reinitialise")


def _panels(choice: Choice, pairs: tuple[str, ...]) -> list[Panel]:
    panels = []
    for pair in pairs:
        kinds = [k for k in KINDS if k != "shuffle_kernel" or split(pair)[1] not in FULLY_CONNECTED]
        for way in compared(choice, (*map(at_start, FOUR), AFTER)):
            densities = choice.densities or SWEEP[1:]
            lines = tuple(line_of(choice, pair, each, densities) for each in ablated(way, kinds))
            margin = MARGIN if choice.margin is None else choice.margin
            note = {"recipe": str(recipe_of(choice, pair)), "margin": margin}
            panels.append(Panel(f"{way.label}\n{pair}", lines, note=note))
    return panels


def tests_of(panel: Panel, records: Records) -> Iterator[tuple[Line, list[tuple[float, PairedTest]]]]:
    """Each ablation's line with its tests by density."""
    plain, *others = panel.lines
    for line in others:
        tests = [
            (density, test)
            for (density, ours), (_, before) in zip(line.points, plain.points, strict=True)
            if density < 1 and (test := paired(ours, before, records, panel.note["margin"])) is not None
        ]
        yield line, tests


def draw(ax: Any, panel: Panel, records: Records) -> None:
    """Mean differences with their 90 % intervals, and the margin as a band."""
    densities: set[float] = set()
    ax.axhspan(-panel.note["margin"], panel.note["margin"], color="#dddddd", linewidth=0)
    count = len(panel.lines)
    for number, (line, tests) in enumerate(tests_of(panel, records)):
        aside = 1 + 0.025 * (number - count / 2)  # side by side
        xs = [100 * density * aside for density, _ in tests]
        means = [test.mean for _, test in tests]
        halves = [test.interval[1] - test.mean if len(test.differences) > 1 else 0.0 for _, test in tests]
        ax.errorbar(xs, means, halves, linestyle=line.dash, color=line.colour, marker=line.marker, label=line.label)
        densities |= {density for density, _ in tests}
    kept_axis(ax, densities)
    ax.set_ylabel("ablated - unmodified (points)")


def text(panels: Sequence[Panel], records: Records) -> str:
    """A line for each panel, ablation and density."""
    rows = ["mean difference, 90 % interval, p of not worse and not better than the margin, verdict"]
    for panel in panels:
        for line, tests in tests_of(panel, records):
            for density, test in tests:
                low, high = test.interval
                title, seeds = panel.title.replace("\n", ", "), len(test.differences)
                change = f"{test.mean:+7.2f} [{low:+.2f}, {high:+.2f}]"
                rows.append(
                    f"{title:<46}{line.label:<24}{100 - 100 * density:6.1f} % {change}"
                    f"  p {test.p_no_worse:.3f} {test.p_no_better:.3f}  {test.verdict} within {test.margin:g}"
                    f" ({seeds} seeds)"
                )
    return "\n".join(rows)


FIGURES = (
    Figure("harm", "ablations against a margin, paired by seed", SMALL, _panels, draw, columns=2, text=text),
)  # fmt: skip
