"""The tables of layers that are emptied on the way to max compression."""

from __future__ import annotations

import json
from typing import Any

from machine import where
from numbers_of_results import RESULTS

Rows = list[list[str]]
KEEPING = "BalancedSynFlow, keep_layers"
METHODS = ("SynFlow", "BalancedSynFlow", KEEPING)
NOT_RUN = "\\-"  # a dash that begins no list


def limits(found: dict[str, Any]) -> tuple[Rows, str]:
    """A row for each model; its cells have a value for each method, in the order of :data:`METHODS`."""
    rows: Rows = [
        [
            "model",
            "image",
            "layers",
            "max compression",
            "empty at 0.1",
            "at 0.01",
            "at max",
            "path left",
            "all on a path",
            "scored",
        ]
    ]
    for name, runs in _by_model(found).items():
        sides = ", ".join(map(str, sorted({run.get("side", 224) for run in runs.values()}, reverse=True)))
        first = next(iter(runs.values()))
        each = [_cells(runs[method]) if method in runs else [NOT_RUN] * 5 for method in METHODS]
        *cells, scored = [" / ".join(of_methods) for of_methods in zip(*each, strict=True)]
        on_a_path = _yes(_all_on_a_path(runs[KEEPING])) if KEEPING in runs else NOT_RUN
        rows.append([name, sides, str(first["layers"]), f"{first['compression']:,.0f}", *cells, on_a_path, scored])
    return rows, where(found)


def limits_counted(found: dict[str, Any]) -> tuple[Rows, str]:
    """How many models have been run by each method, and what is left of them at max compression."""
    names, by_model = _classifiers(), _by_model(found)
    runs = [[each[method] for each in by_model.values() if method in each] for method in METHODS]
    counts = {
        f"models run, of {len(names)}": [len(of_method) for of_method in runs],
        "no layer empty": [sum(not run["empty_layers"] for run in of_method) for of_method in runs],
        "a path left": [sum(run["outputs_with_a_path"] > 0 for run in of_method) for of_method in runs],
    }
    rows = [["at max compression", *METHODS], *([what, *map(str, numbers)] for what, numbers in counts.items())]
    kept = runs[METHODS.index(KEEPING)]
    rows.append(["all layers on a path", *[NOT_RUN] * (len(METHODS) - 1), str(sum(map(_all_on_a_path, kept)))])
    return rows, where(found)


def limits_exceptions(found: dict[str, Any]) -> tuple[Rows, str]:
    """The models that lose a layer or all paths with ``keep_layers``, and those that have not been run."""
    by_model = _by_model(found)
    kept = {name: runs[KEEPING] for name, runs in by_model.items() if KEEPING in runs}
    listed = {
        "an empty layer": [name for name, run in kept.items() if run["empty_layers"]],
        "no path left": [name for name, run in kept.items() if not run["outputs_with_a_path"]],
        "not run": [name for name in _classifiers() if name not in kept],
        "not run without it": [name for name in _classifiers() if "SynFlow" not in by_model.get(name, {})],
    }
    return [["with keep_layers", "models"], *([what, ", ".join(names)] for what, names in listed.items())], where(found)


def limits_at_amount(found: dict[str, Any]) -> tuple[Rows, str]:
    """How many layers are emptied at one amount, by each method."""
    names = list(dict.fromkeys(row["model"] for row in found["rows"]))
    methods = list(dict.fromkeys(row["method"] for row in found["rows"]))
    empty = {(row["model"], row["method"]): len(row["empty_layers"]) for row in found["rows"]}
    layers = {row["model"]: row["layers"] for row in found["rows"]}
    rows: Rows = [["model", "layers", *(f"emptied by {method}" for method in methods)]]
    for name in names:
        rows.append([name, str(layers[name]), *(str(empty.get((name, method), "")) for method in methods)])
    return rows, where(found)


def _by_model(found: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """The run of each method, for each model."""
    by_model: dict[str, dict[str, dict[str, Any]]] = {}
    for row in found["rows"]:
        by_model.setdefault(row["model"], {})[row["method"]] = row
    return by_model


def _classifiers() -> list[str]:
    """The names of torchvision's classification models, as in the file of all architectures."""
    found = json.loads((RESULTS / "architectures.json").read_text())
    return [model["model"] for model in found["models"]]


def _all_on_a_path(run: dict[str, Any]) -> bool:
    """Whether all layers are on a path, of a run that keeps layers and warns if not."""
    return not run["empty_layers"] and not run["without_path"]


def _cells(run: dict[str, Any]) -> list[str]:
    return [*(str(run["empty_at"].get(d, NOT_RUN)) for d in ("0.1", "0.01")), str(len(run["empty_layers"])),
            _yes(run["outputs_with_a_path"] > 0), str(run["scored"])]  # fmt: skip


def _yes(value: bool) -> str:
    return "yes" if value else "no"


TABLES = {
    "limits": (limits, "limits"),
    "limits counted": (limits_counted, "limits"),
    "limits exceptions": (limits_exceptions, "limits"),
    "limits_95": (limits_at_amount, "limits_95"),
}
