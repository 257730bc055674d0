"""The table of networks that were shrunk."""

from __future__ import annotations

from typing import Any

Rows = list[list[str]]


def smaller(found: dict[str, Any]) -> tuple[Rows, str]:
    """What is left of a network that is shrunk, and how many times faster it is than the dense one."""
    rows: Rows = [
        [
            "network",
            "method",
            "compression",
            "parameters left",
            "MACs left",
            "latency, dense / small",
            "step, dense / small",
        ]
    ]
    for row in found["rows"]:
        left = [f"{row[part]['small'] / row[part]['dense']:.1%}" for part in ("parameters", "macs")]
        faster = [
            f"{row['speed_up'][part]['median']:.2f} ({row['speed_up'][part]['lowest']:.2f} to "
            f"{row['speed_up'][part]['highest']:.2f})"
            for part in ("latency", "training_step")
        ]
        rows.append([row["network"], row["method"], f"{1 / (1 - row['amount']):.0f}", *left, *faster])
    runs = found["rows"][0]["runs"]
    torch = found["versions"]["torch"]
    return (
        rows,
        f"medians of {runs} runs, lowest and highest; {found['device']}, {found['threads']} thread, torch {torch}",
    )
