"""One picture of several panels, with the authors' accuracies and ours."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from PIL import Image

from benchmarks.figures.panels import Panel, Records
from benchmarks.figures.words import in_words
from benchmarks.sweep.methods import METHODS

STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "#e4e4e4", "grid.linewidth": 0.6, "lines.linewidth": 1.3,
    "lines.markersize": 3.5, "legend.frameon": False, "legend.fontsize": 7, "figure.dpi": 100, "savefig.dpi": 200,
    "svg.hashsalt": "torch_synflow", "axes.axisbelow": True,
}  # fmt: skip


def picture(
    panels: Sequence[Panel], records: Records, draw: Callable[..., None], *, title: str, caption: str, columns: int,
    path: Path, reference: Reference | None = None,
) -> None:  # fmt: skip
    """Draw all panels into one file, PNG, SVG or PDF by its suffix."""
    from matplotlib import pyplot as plt

    plt.switch_backend("Agg")  # a file, no window
    wide = columns == 1  # panels that need the whole width
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    columns = math.ceil(len(panels) / rows)  # rows of about the same length
    with plt.rc_context(STYLE):
        width = 7.2 if wide or columns > 1 else 4.6
        characters = int(22 * width)  # of the caption's size, 22 to an inch
        caption = "\n".join(part for line in caption.split("\n") for part in textwrap.wrap(line, characters))
        figure, axes = plt.subplots(rows, columns, figsize=(width, 2.5 * rows + 0.7), squeeze=False)
        for ax, panel in zip(axes.flat, panels, strict=False):
            lines_of_title = in_words(panel.title).split("\n")
            if columns > 3:  # else long ones leave the picture
                lines_of_title = [line.replace(", ", ",\n") if len(line) > 24 else line for line in lines_of_title]
            ax.set_title("\n".join(lines_of_title))
            if reference is not None:
                reference.draw(ax, panel)
            draw(ax, panel, records)
        for ax in list(axes.flat)[len(panels) :]:
            ax.axis("off")
        handles = {label: h for ax in axes.flat for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        across = 5 if columns > 1 else 3
        lines = -(-len(handles) // across)
        inches = figure.get_figheight()
        figure.suptitle(title, fontsize=9, y=1 - 0.06 / inches)
        bottom = 0.12 + 0.11 * (caption.count("\n") + 1)
        figure.text(0.01, 0.06 / inches, caption, fontsize=6, color="#444444", va="bottom")
        if handles:
            figure.legend(
                handles.values(), handles, loc="lower center", ncols=min(across, len(handles)),
                bbox_to_anchor=(0.5, bottom / inches),
            )  # fmt: skip
        figure.tight_layout(rect=(0, (bottom + 0.06 + 0.17 * lines) / inches, 1, 1))
        save(figure, path)
        plt.close(figure)


def save(figure: Any, path: Path) -> None:
    """Write a picture, as SVG without a date, as PNG in 256 colours, a third of the size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".png":
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        return
    with io.BytesIO() as whole:
        figure.savefig(whole, format="png")
        with Image.open(whole) as image:
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def table(panels: Sequence[Panel], records: Records, reference: Reference | None) -> str:
    """The mean accuracies of each method and of the authors, as text."""
    lines = []
    for panel in panels:
        rows: dict[str, dict[float, float]] = {}
        for line in panel.lines:
            for density, trials in line.points:
                if values := [records[t.name]["result"]["best_accuracy"] for t in trials if t.name in records]:
                    rows.setdefault(line.label, {})[round(-math.log10(density), 2) + 0.0] = mean(values)
            if reference is not None and (points := reference.points.get((panel.title, line.label))):
                rows[f"{line.label}, authors"] = {ratio: mean(runs) for ratio, runs in points}
        if rows:
            ratios = sorted({ratio for row in rows.values() for ratio in row})
            lines.append(f"{panel.title}, best test accuracy (%) by log10 compression, means of seeds")
            lines.append(" " * 24 + "".join(f"{ratio:7.2f}" for ratio in ratios))
            for label, row in rows.items():
                cells = (f"{row[ratio]:7.1f}" if ratio in row else f"{'-':>7}" for ratio in ratios)
                lines.append(f"{label:<24}" + "".join(cells))
    return "\n".join(lines)


class Reference:
    """The authors' accuracies of figure 6, from a CSV; drawn as dashed lines.

    The columns are ``dataset, model, method, log10_compression`` and then one accuracy per run.
    """

    COLUMNS = ("dataset", "model", "method", "log10_compression")

    def __init__(self, path: Path) -> None:
        import csv

        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows or not set(self.COLUMNS) < set(rows[0]):
            raise ValueError(f"--reference: expected a CSV with columns {', '.join(self.COLUMNS)} and runs, got {path}")
        self.points: dict[tuple[str, str], list[tuple[float, list[float]]]] = {}
        for row in rows:
            self.add(row)

    def add(self, row: dict[str, str]) -> None:
        """Take a row of the file."""
        try:
            runs = [float(v) for key, v in row.items() if key not in self.COLUMNS and v]
            key = (f"{row['dataset']}/{row['model']}", METHODS[row["method"]].title)
            self.points.setdefault(key, []).append((float(row["log10_compression"]), runs))
        except (KeyError, TypeError, ValueError):
            known, got = ", ".join(METHODS), ",".join(map(str, row.values()))
            raise ValueError(f"--reference: expected numbers, and a method of {known}, got {got}") from None

    def has(self, pair: str) -> bool:
        """Whether there is anything of a pair."""
        return any(key[0] == pair for key in self.points)

    def draw(self, ax: Any, panel: Panel) -> None:
        """Dashed lines for the methods of a panel."""
        for line in panel.lines:
            if points := sorted(self.points.get((panel.title, line.label), [])):
                ax.plot(
                    [10**x for x, _ in points], [mean(runs) for _, runs in points], "--", color=line.colour,
                    linewidth=0.9, alpha=0.8,
                )  # fmt: skip
