"""``.. measured:: speed``: the tables of the performance page, from ``benchmarks/results`` as it is at build time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import emptied
import reproduced
import shared
import shrunk
import structure
import surveyed
import tested
import trained
from docutils import nodes
from machine import where
from sphinx.util.docutils import SphinxDirective

from benchmarks.figures.words import in_words, network_in_words

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
Rows = list[list[str]]
#: phases that take next to no time
SMALL = ("ours: attach and the rest",)


def speed(found: dict[str, Any]) -> tuple[Rows, str]:
    """The time of SynFlow's iterations relative to as many bare passes."""
    keys = [key for key in _all_keys(found, "ratio_to_bare_passes") if key not in ("bare passes", *SMALL)]
    rows: Rows = [["network", "compression", "bare passes, s", *keys, "last iteration / first"]]
    for row in found["rows"]:
        ratios = [row["ratio_to_bare_passes"].get(key) for key in keys]
        cells = ["" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        bare, last = row["seconds"]["bare passes"], row["last_iteration_to_first"]
        begin = [network_in_words(row["network"]), f"{row['compression']:,.0f}"]
        rows.append([*begin, f"{bare:.2f}", *cells, f"{last:.2f}"])
    return rows, where(found)


def overlaps(found: dict[str, Any]) -> tuple[Rows, str]:
    """Intersection over union of the masks of two computations."""
    columns = [f"{network_in_words(row['network'])}, {row['compression']:,.0f}" for row in found["rows"]]
    shares = [row["intersection_over_union"] for row in found["rows"]]
    kinds = dict.fromkeys(kind for one in shares for kind in one)
    rows = [[kind, *(_share(one.get(kind)) for one in shares)] for kind in kinds]
    return [["masks of", *columns], *rows], where(found)


def growth(found: dict[str, Any]) -> tuple[Rows, str]:
    """Time and memory of an iteration as the network grows."""
    rows: Rows = [["prunable weights", "seconds per iteration", "peak bytes per weight beyond the model"]]
    for row in found["rows"]:
        rows.append([f"{row['entries']:,}", f"{row['seconds_an_iteration']:.3f}", f"{row['bytes_an_entry']:.1f}"])
    return rows, f"{where(found)}; time grows with the weights to the power of {found['exponent']:.2f}"


def data_methods(found: dict[str, Any]) -> tuple[Rows, str]:
    """SNIP and GraSP compared with the authors' loops."""
    rows: Rows = [["network", "method", "ours, s", "authors, s", "time ours / authors", "peak memory ours / authors"]]
    for row in found["rows"]:
        seconds, peak = row["seconds"], row["peak_bytes"]
        numbers = (*seconds.values(), peak["ratio"])
        rows.append([network_in_words(row["network"]), row["method"], *(f"{number:.2f}" for number in numbers)])
    return rows, where(found)


def throughput(found: dict[str, Any]) -> tuple[Rows, str]:
    """Loading and training in the sweeps."""
    rows: Rows = [["pair", "loading / training", "images per second: pruned / bare", "trials per hour: ours / authors"]]
    for row in found["rows"]:
        numbers = (row["loading_to_training"], row["pruned_to_bare"], row.get("trials_an_hour_to_peer"))
        rows.append([in_words(row["pair"]), *("" if number is None else f"{number:.2f}" for number in numbers)])
    return rows, where(found)


def architectures(found: dict[str, Any]) -> tuple[Rows, str]:
    """Conservation on torchvision's classification models."""
    models = found["models"]
    rows: Rows = [["property", "models"]]
    rows.append(["classification models", str(len(models))])
    rows.append(["all scores finite", str(sum(m["finite"] for m in models))])
    rows.append(["none negative", str(sum(m["positive"] for m in models))])
    equal = sum(abs(m["first / last - 1"]) < 1e-6 for m in models)
    rows.append(["equal flow through the first and the last layer, to 1e-6", str(equal)])
    rows.append(["no layer total above R", str(sum(m["greatest / R"] < 1 + 1e-6 for m in models))])
    slowest = max(models, key=lambda m: m["seconds"])
    rows.append(["slowest to score", f"{slowest['model']}, {slowest['seconds']:.1f} s"])
    versions = found.get("versions", found)  # written before all results had the same beginning
    return rows, f"torch {versions['torch']}, torchvision {versions['torchvision']}"


def scaling(found: dict[str, Any]) -> tuple[Rows, str]:
    """Trials per hour by the number of workers."""
    rows: Rows = [["workers", "trials per hour", "relative to the first row", "seconds to start"]]
    for row in found["rows"]:
        numbers = (f"{row['trials_an_hour']:,.0f}", f"{row['ratio']:.2f}", f"{row['startup_seconds']:.1f}")
        rows.append([str(row["workers"]), *numbers])
    trials = f"{found['trials']} trials ({found['trial']}), medians of {found['runs']} runs, {found['cpus']} CPUs"
    return rows, f"{trials}; {where(found)}"


def ablation(found: dict[str, Any]) -> tuple[Rows, str]:
    """The time of each variant of the engine relative to the unchanged engine, by network."""

    def cell(row: dict[str, Any]) -> str:
        usual = row["median"] / row["ratio"]
        return f"{row['ratio']:.2f} ({min(row['seconds']) / usual:.2f} to {max(row['seconds']) / usual:.2f})"

    return _by_network(found, cell), f"{where(found)}; in parentheses the fastest and the slowest run"


def ablation_memory(found: dict[str, Any]) -> tuple[Rows, str]:
    """The peak of memory of each variant of the engine, by network."""
    return _by_network(found, lambda row: f"{row['peak_bytes_per_weight']:.1f}"), where(found)


def survived(found: dict[str, Any]) -> tuple[Rows, str]:
    """For each kind of failure: the trials, those that lost nothing, and those that were left complete."""
    complete = found.get("complete", {})
    keys = ("trials", "survived")
    rows = [[row["kind"], *(f"{row[key]:,}" for key in keys)] for row in found["rows"]]
    rows.append(["all", *(f"{sum(row[key] for row in found['rows']):,}" for key in keys)])
    header = ["kind", *keys]
    if complete:
        header.append("of these complete")
        for row in rows:
            row.append(f"{complete.get(row[0], 0) if row is not rows[-1] else sum(complete.values()):,}")
    return [header, *rows], f"``{found['command']}``; {where(found)}"


def pruned_training(found: dict[str, Any]) -> tuple[Rows, str]:
    """The time of a training step in each way relative to torch's hooks, by network and batch size."""
    columns = list(dict.fromkeys((row["network"], row["batch"]) for row in found["rows"]))
    rows: Rows = [["training", *(f"{network}, batches of {batch}" for network, batch in columns)]]
    for variant in dict.fromkeys(row["variant"] for row in found["rows"]):
        ratios = {(r["network"], r["batch"]): r["ratios"] for r in found["rows"] if r["variant"] == variant}
        rows.append(
            [variant, *(f"{median(r):.3f} ({min(r):.3f} to {max(r):.3f})" for r in map(ratios.get, columns) if r)]
        )
    return rows, where(found)


def _by_network(found: dict[str, Any], cell: Callable[[dict[str, Any]], str]) -> Rows:
    names = list(dict.fromkeys(row["network"] for row in found["rows"]))
    cells = {(row["variant"], row["network"]): cell(row) for row in found["rows"]}
    labels = {row["variant"]: ("without " if row["without"] else "") + row["variant"] for row in found["rows"]}
    rows = [[label, *(cells.get((variant, name), "") for name in names)] for variant, label in labels.items()]
    return [["engine", *map(network_in_words, names)], *rows]


#: the function that makes a table, and its file
TABLES = {
    "speed": (speed, "speed"),
    "overlaps": (overlaps, "speed"),
    "speed_large": (speed, "speed_large"),
    "ablation": (ablation, "ablation"),
    "balanced_speed": (ablation, "balanced_speed"),
    "ablation_memory": (ablation_memory, "ablation_memory"),
    "growth": (growth, "growth"),
    "data_methods": (data_methods, "data_methods"),
    "throughput": (throughput, "throughput"),
    "throughput_channels_last": (throughput, "throughput_channels_last"),
    "scaling": (scaling, "scaling"),
    "pruned_training": (pruned_training, "pruned_training"),
    "architectures": (architectures, "architectures"),
    "injected": (survived, "faults/injected"),
    "signals": (survived, "faults/signals"),
    "invariants": (survived, "faults/invariants"),
    "kills": (survived, "faults/kills"),
    **emptied.TABLES,
    **surveyed.TABLES,
    **shrunk.TABLES,
    **reproduced.TABLES,
    **shared.TABLES,
    **structure.TABLES,
    **tested.TABLES,
    **trained.TABLES,
}


def _all_keys(found: dict[str, Any], part: str) -> list[str]:
    return list(dict.fromkeys(key for row in found["rows"] for key in row[part]))


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


class Measured(SphinxDirective):
    """A table of one file of results."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Read the file and make the table."""
        make, name = TABLES[self.arguments[0]]
        name = f"{name}{'.json' * ('.' not in name)}"
        paths = sorted(RESULTS.glob(name))
        for path in paths:
            self.env.note_dependency(str(path))
        if not paths:
            return self.parse_text_to_nodes(f"*Not measured yet: there is no* ``benchmarks/results/{name}``.")
        texts = [path.read_text() for path in paths]
        if name.endswith(".jsonl"):
            rows, where = make({"rows": [json.loads(line) for text in texts for line in text.splitlines()]})
        else:
            rows, where = make(json.loads(texts[0]))
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for row in rows:
            lines += [f"   {'* -' if not index else '  -'} {cell}" for index, cell in enumerate(row)]
        lines += ["", f"``benchmarks/results/{name}``: {where}."]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Any) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
