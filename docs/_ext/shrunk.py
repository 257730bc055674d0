"""The tables of networks that were shrunk."""

from __future__ import annotations

from typing import Any

from machine import where

Rows = list[list[str]]


def smaller(found: dict[str, Any]) -> tuple[Rows, str]:
    """The size of each shrunk network, and its speed relative to the dense one."""
    kept = [row for row in found["rows"] if not _run_as(row)]
    rows = [_HEAD, *([row["network"], row["method"], *_cells(row)] for row in kept)]
    return (
        rows,
        f"lowest and highest in parentheses; {_runs(found)}; CSR faster: of the weights over 95 % empty",
    )


def smaller_short(found: dict[str, Any]) -> tuple[Rows, str]:
    """The parameters left and the speed of a training step, with one column per amount."""
    plain = [row for row in found["rows"] if not _run_as(row)]
    amounts = sorted({row["amount"] for row in plain})
    cells = {(row["network"], row["method"], row["amount"]): row for row in plain}
    rows: Rows = [["network", "method", *(f"{1 / (1 - amount):.0f}" for amount in amounts)]]
    for network, method in dict.fromkeys((row["network"], row["method"]) for row in plain):
        row = [cells.get((network, method, amount)) for amount in amounts]
        rows.append([network, method, *("" if one is None else _short(one) for one in row)])
    return rows, f"parameters left, and time of a training step, dense / small; {_runs(found)}"


def _short(row: dict[str, Any]) -> str:
    return "no path" if "refused" in row else f"{_left(row)[0]}, {row['speed_up']['training_step']['median']:.2f}"


def smaller_run_as(found: dict[str, Any]) -> tuple[Rows, str]:
    """The same of networks that ran in another layout, or compiled."""
    kept = [row for row in found["rows"] if _run_as(row)]
    rows = [[*_HEAD[:2], "run", *_HEAD[2:-1]]]
    rows += [[row["network"], row["method"], _run_as(row), *_cells(row)[:-1]] for row in kept]
    return rows, f"lowest and highest in parentheses; {_runs(found)}"


_HEAD = ["network", "method", "compression", "parameters left", "MACs left", "file left", "latency, dense / small",
         "step, dense / small", "CSR faster"]  # fmt: skip


def _run_as(row: dict[str, Any]) -> str:
    return ", ".join(word for key, word in (("channels_last", "channels last"), ("compiled", "compiled")) if row[key])


def _cells(row: dict[str, Any]) -> list[str]:
    compression = f"{1 / (1 - row['amount']):.0f}"
    if "refused" in row:
        return [compression, "no path", *[""] * 5]
    faster = [
        f"{row['speed_up'][part]['median']:.2f} ({row['speed_up'][part]['lowest']:.2f} to "
        f"{row['speed_up'][part]['highest']:.2f})"
        for part in ("latency", "training_step")
    ]
    formats = [part["dense_to_csr"] > 1 for part in row["sparse_formats"]]
    return [compression, *_left(row), *faster, f"{sum(formats)} of {len(formats)}" if formats else ""]


def _runs(found: dict[str, Any]) -> str:
    return f"medians of {found['rows'][0]['runs']} runs; {where(found)}"


def _left(row: dict[str, Any]) -> list[str]:
    parts = (("parameters", "dense"), ("macs", "dense"), ("bytes", "masked"))
    return [f"{row[part]['small'] / row[part][whole]:.1%}" for part, whole in parts]


#: the function that makes a table, and its file
TABLES = {
    "smaller": (smaller, "smaller"),
    "smaller_short": (smaller_short, "smaller"),
    "smaller_run_as": (smaller_run_as, "smaller"),
}
