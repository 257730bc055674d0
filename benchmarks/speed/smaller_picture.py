"""The picture of networks that were shrunk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.speed.pruned import METHODS, SHOWN
from benchmarks.sweep import methods

#: networks side by side
COLUMNS = 4
DRAWN = dict(zip(METHODS, (methods.METHODS[key] for key in ("synflow", "balanced", "snip", "magnitude")), strict=True))


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """The speed-up of a training step over the parameters that are left, both against the compression ratio."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in SHOWN if any(row["network"] == name and "refused" not in row for row in rows)]
    if not names:
        return
    lines = -(-len(names) // COLUMNS)
    figure, axes = plt.subplots(2 * lines, COLUMNS, figsize=(10, 5 * lines), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set_axis_off()
    for index, name in enumerate(names):
        line, column = divmod(index, COLUMNS)
        speed, left = axes[2 * line, column], axes[2 * line + 1, column]
        for number, (method, drawn) in enumerate(DRAWN.items()):
            style = {"color": drawn.colour, "marker": drawn.marker, "markersize": 5, "label": drawn.title}
            aside = 1.05 ** (number - 1.5)  # points of methods that are equal lie next to each other
            ratios = of_method(rows, name, method, lambda row: row["speed_up"]["training_step"])
            middles = [ratio["median"] for ratio in ratios.values()]
            errors = [[abs(ratio[end] - ratio["median"]) for ratio in ratios.values()] for end in ("lowest", "highest")]
            speed.errorbar([aside / (1 - amount) for amount in ratios], middles, errors, linewidth=1, **style)
            shares = of_method(rows, name, method, lambda row: row["parameters"]["small"] / row["parameters"]["dense"])
            left.plot([aside / (1 - amount) for amount in shares], [100 * share for share in shares.values()], **style)
        for ax in (speed, left):
            ax.set_axis_on()
            ax.set(xscale="log", xlim=(7, 1400))
            ax.grid(alpha=0.3)
        speed.axhline(1, color="0.5", linewidth=1)
        speed.set(title=name, ylim=(0, None))
        left.set(xlabel="compression ratio", yscale="log", ylim=(0.05, 150))
        if column == 0:
            speed.set_ylabel("training step, dense / shrunk")
            left.set_ylabel("parameters left (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def of_method(
    rows: list[dict[str, Any]], name: str, method: str, value: Callable[[dict[str, Any]], Any]
) -> dict[float, Any]:
    """A value of the rows of a network and a method, by amount; rows without a path have none."""
    kept = [row for row in rows if (row["network"], row["method"]) == (name, method) and "refused" not in row]
    return {row["amount"]: value(row) for row in sorted(kept, key=lambda row: row["amount"])}
