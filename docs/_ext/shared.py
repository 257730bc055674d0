"""The table of pruning on several processes."""

from __future__ import annotations

from typing import Any

Rows = list[list[str]]


def parallel(found: dict[str, Any]) -> tuple[Rows, str]:
    """Time and memory of a call on so many processes that hold the same model."""
    rows: Rows = [["method", "processes", "seconds", "peak of a process beyond the model, MiB"]]
    for row in sorted(found["rows"], key=lambda row: row["method"]):
        cells = [
            f"{row[what]['median'] / unit:.{digits}f} ({row[what]['lowest'] / unit:.{digits}f} to "
            f"{row[what]['highest'] / unit:.{digits}f})"
            for what, unit, digits in (("seconds", 1, 2), ("bytes", 2**20, 0))
        ]
        rows.append([row["method"], str(row["processes"]), *cells])
    runs, torch = found["rows"][0]["runs"], found["versions"]["torch"]
    return rows, (
        f"{found['network']}, {found['iterations of SynFlow']} iterations of SynFlow; medians of {runs} runs, lowest "
        f"and highest; {found['device']}, {found['cores']} cores at a load of {found['load']:.0f}, one thread "
        f"per process, gloo, torch {torch}"
    )
