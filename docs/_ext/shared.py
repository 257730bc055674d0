"""The tables of pruning on several processes."""

from __future__ import annotations

from typing import Any

Rows = list[list[str]]
TITLES = {"snip": "SNIP", "synflow": "SynFlow", "L1Unstructured": "magnitude"}


def parallel(found: dict[str, Any]) -> tuple[Rows, str]:
    """Time and memory of a call on so many processes that hold the same model."""
    rows: Rows = [["method", "processes", "seconds", "peak of a process beyond the model, MiB"]]
    for row in sorted(found["rows"], key=lambda row: row["method"]):
        cells = [
            f"{row[what]['median'] / unit:.{digits}f} ({row[what]['lowest'] / unit:.{digits}f} to "
            f"{row[what]['highest'] / unit:.{digits}f})"
            for what, unit, digits in (("seconds", 1, 2), ("bytes", 2**20, 0))
        ]
        rows.append([_title(row), str(row["processes"]), *cells])
    runs, torch = found["rows"][0]["runs"], found["versions"]["torch"]
    return rows, (
        f"{found['network']}, {found['iterations of SynFlow']} iterations of SynFlow; medians of {runs} runs, lowest "
        f"and highest; {found['device']}, {found['cores']} cores at a load of {found['load']:.0f}, one thread "
        f"per process, gloo, torch {torch}"
    )


def sharded(found: dict[str, Any]) -> tuple[Rows, str]:
    """Time and memory of a call on a model that so many processes hold parts of."""
    rows: Rows = [["method", "processes", "seconds", "memory of a process before the call, GiB", "its peak, GiB"]]
    for row in found["rows"]:
        worst = {what: max(rank[what] for rank in row["of_ranks"]) for what in ("seconds", "before", "peak")}
        memory = [f"{worst[what] / 2**30:.2f}" for what in ("before", "peak")]
        rows.append([_title(row), str(row["ranks"]), f"{worst['seconds']:.0f}", *memory])
    model, weights = found["model"], found["rows"][0]["of_ranks"][0]["weights"]
    return rows, (
        f"a transformer of {model['depth']} blocks, {model['width']} wide: {weights:,} prunable weights in float32; "
        f"{_iterations(model['iterations'])} of SynFlow; one run each, of the slowest and the largest process; "
        f"{found['device']}, one thread per process, gloo, torch {found['versions']['torch']}"
    )


def projected(found: dict[str, Any]) -> tuple[Rows, str]:
    """Memory, traffic and time of models that are too large to be measured."""
    rows: Rows = [
        ["weights", "method", "processes", "peak of one, GiB", "received by it, GB", "seconds to receive", "hours"]
    ]
    for row in found["rows"]:
        numbers = [row["peak"] / 2**30, row["received"] / 1e9, row["seconds_received"]]
        hours = f"{row['seconds_on_a_thread'] / 3600:.1f}"
        rows.append([row["model"], _title(row), str(row["ranks"]), *(f"{number:.0f}" for number in numbers), hours])
    return rows, (
        f"one iteration, or one batch of SNIP; {found['link'] / 1e9:g} GB/s to each process; hours of one CPU thread "
        f"per process; computed from ``benchmarks/results/sharded.json`` of {found['of']}"
    )


def _title(row: dict[str, Any]) -> str:
    return TITLES.get(row["method"], row["method"])


def _iterations(number: int) -> str:
    return "one iteration" if number == 1 else f"{number} iterations"


TABLES = {name.__name__: (name, name.__name__) for name in (parallel, sharded, projected)}
