"""The tables of layers that are emptied on the way to max compression."""

from __future__ import annotations

from typing import Any

from machine import where

Rows = list[list[str]]
METHODS = ("SynFlow", "BalancedSynFlow", "BalancedSynFlow, keep_layers")
NOT_RUN = "\\-"  # a dash that begins no list


def limits(found: dict[str, Any]) -> tuple[Rows, str]:
    """A row for each model; its cells have a value for each method, in the order of :data:`METHODS`."""
    rows: Rows = [
        ["model", "image", "layers", "max compression", "empty at 0.1", "at 0.01", "at max", "path left", "scored"]
    ]
    by_model: dict[str, dict[str, dict[str, Any]]] = {}
    for row in found["rows"]:
        by_model.setdefault(row["model"], {})[row["method"]] = row
    for name, runs in by_model.items():
        sides = ", ".join(map(str, sorted({run.get("side", 224) for run in runs.values()}, reverse=True)))
        first = next(iter(runs.values()))
        each = [_cells(runs[method]) if method in runs else [NOT_RUN] * 5 for method in METHODS]
        cells = [" / ".join(of_methods) for of_methods in zip(*each, strict=True)]
        rows.append([name, sides, str(first["layers"]), f"{first['compression']:,.0f}", *cells])
    return rows, where(found)


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


def _cells(run: dict[str, Any]) -> list[str]:
    left = "yes" if run["outputs_with_a_path"] else "no"
    return [*(str(run["empty_at"].get(d, NOT_RUN)) for d in ("0.1", "0.01")), str(len(run["empty_layers"])), left,
            str(run["scored"])]  # fmt: skip


TABLES = {"limits": (limits, "limits"), "limits_95": (limits_at_amount, "limits_95")}
