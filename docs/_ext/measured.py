"""``.. measured:: speed``: the tables of the performance page, from ``benchmarks/results`` as it is at build time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
Rows = list[list[str]]


def speed(found: dict[str, Any]) -> tuple[Rows, str]:
    """What SynFlow's iterations cost, over as many bare passes."""
    columns = ("authors", "stock loop", "ours: total", "ours: scoring", "ours: selection")
    keys = [key for key in columns if any(key in row["seconds"] for row in found["rows"])]
    rows: Rows = [["network", "compression", "bare passes, s", *keys, "last iteration / first"]]
    for row in found["rows"]:
        ratios = [row["ratio_to_bare_passes"].get(key) for key in keys]
        rows.append(
            [
                row["network"],
                f"{row['compression']:,.0f}",
                f"{row['seconds']['bare passes']:.2f}",
                *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
                f"{row['last_iteration_to_first']:.2f}",
            ]
        )
    return rows, _where(found)


def data_methods(found: dict[str, Any]) -> tuple[Rows, str]:
    """SNIP and GraSP beside the authors' loops."""
    rows: Rows = [["network", "method", "ours, s", "authors, s", "time ours / authors", "peak memory ours / authors"]]
    for row in found["rows"]:
        seconds, peak = row["seconds"], row["peak_bytes"]
        rows.append([row["network"], row["method"], *(f"{v:.2f}" for v in seconds.values()), f"{peak['ratio']:.2f}"])
    return rows, _where(found)


def throughput(found: dict[str, Any]) -> tuple[Rows, str]:
    """Loading and training in the sweeps."""
    rows: Rows = [["pair", "loading / training", "images a second: pruned / bare", "trials an hour: ours / authors"]]
    for row in found["rows"]:
        numbers = (row["loading_to_training"], row["pruned_to_bare"], row.get("trials_an_hour_to_peer"))
        rows.append([row["pair"], *("" if number is None else f"{number:.2f}" for number in numbers)])
    return rows, _where(found)


def architectures(found: dict[str, Any]) -> tuple[Rows, str]:
    """Conservation on torchvision's classification models."""
    models = found["models"]
    rows: Rows = [["what was looked at", "models"]]
    rows.append(["classification models", str(len(models))])
    rows.append(["all scores finite", str(sum(m["finite"] for m in models))])
    rows.append(["none negative", str(sum(m["positive"] for m in models))])
    equal = sum(abs(m["first / last - 1"]) < 1e-6 for m in models)
    rows.append(["as much flow through the first layer as through the last, to 1e-6", str(equal)])
    rows.append(["no layer with more than R", str(sum(m["greatest / R"] < 1 + 1e-6 for m in models))])
    slowest = max(models, key=lambda m: m["seconds"])
    rows.append(["slowest to score", f"{slowest['model']}, {slowest['seconds']:.1f} s"])
    return rows, f"torch {found['torch']}, torchvision {found['torchvision']}"


TABLES = {"speed": speed, "data_methods": data_methods, "throughput": throughput, "architectures": architectures}


def _where(found: dict[str, Any]) -> str:
    versions = found["versions"]
    threads = versions.get("threads", found.get("threads"))
    return f"{found['device']}, {threads} thread{'s' if threads != 1 else ''}, torch {versions['torch']}"


class Measured(SphinxDirective):
    """A table of one file of results."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the file and make the table."""
        path = RESULTS / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(path))
        rows, where = TABLES[self.arguments[0]](json.loads(path.read_text()))
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for row in rows:
            lines += [f"   {'* -' if not index else '  -'} {cell}" for index, cell in enumerate(row)]
        lines += ["", f"``benchmarks/results/{path.name}``: {where}."]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Any) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
