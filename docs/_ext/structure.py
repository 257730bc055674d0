"""The table of what is left of networks before training."""

from __future__ import annotations

from collections import defaultdict
from statistics import mean
from typing import Any

from trained import TITLES

from benchmarks.figures.balanced import QUANTITIES
from benchmarks.figures.words import network_in_words

Rows = list[list[str]]
NONE = "\\-"  # a dash that begins no list


def structure(found: dict[str, Any]) -> tuple[Rows, str]:
    """The means over seeds of the quantities of the figure, by network, compression and method."""
    by_place: dict[tuple[str, float], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for record in found["rows"]:
        settings = record["settings"]
        by_place[settings["network"], settings["density"]][settings["method"]].append(record["result"])
    rows: Rows = [["network, compression", *TITLES.values()]]
    for (network, density), methods in sorted(by_place.items(), key=lambda item: (item[0][0], -item[0][1])):
        cells = [" / ".join(_cells(methods[method])) if methods[method] else "" for method in TITLES]
        rows.append([f"{network_in_words(network)}, {1 / density:.0f}", *cells])
    counts = {len(results) for methods in by_place.values() for results in methods.values() if results}
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    *names, last = (label for _, label in QUANTITIES.values())
    return rows, f"{', '.join(names)} and {last}; means of {seeds} seeds"


def _cells(results: list[dict[str, Any]]) -> list[str]:
    each = [[value(result) for result in results] for value, _ in QUANTITIES.values()]
    return [NONE if None in values else f"{mean(values):.1f}" for values in each]


TABLES = {"structure": (structure, "trials/balanced-structure.jsonl")}
