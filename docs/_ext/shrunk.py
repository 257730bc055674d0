"""The tables of networks that were shrunk."""

from __future__ import annotations

from typing import Any

Rows = list[list[str]]


def smaller(found: dict[str, Any]) -> tuple[Rows, str]:
    """The size of each shrunk network, and its speed relative to the dense one."""
    times = ("latency", "training_step")
    rows: Rows = [
        ["network", "method", "compression", "parameters left", "MACs left", "file left", "latency, dense / small",
         "step, dense / small", "CSR faster"]
    ]  # fmt: skip
    for row in found["rows"]:
        begin = [row["network"], row["method"], f"{1 / (1 - row['amount']):.0f}"]
        if "refused" in row:
            rows.append([*begin, "no path", *[""] * 5])
            continue
        faster = [
            f"{row['speed_up'][part]['median']:.2f} ({row['speed_up'][part]['lowest']:.2f} to "
            f"{row['speed_up'][part]['highest']:.2f})"
            for part in times
        ]
        formats = [part["dense_to_csr"] > 1 for part in row["sparse_formats"]]
        rows.append([*begin, *_left(row), *faster, f"{sum(formats)} of {len(formats)}" if formats else ""])
    runs = found["rows"][0]["runs"]
    torch = found["versions"]["torch"]
    return (
        rows,
        f"medians of {runs} runs, lowest and highest; CSR faster: of the weights that are still over 95 % empty; "
        f"{found['device']}, {found['threads']} thread, torch {torch}",
    )


def untimed(found: dict[str, Any]) -> tuple[Rows, str]:
    """The share that is left of each network's parameters, MACs and file, with one column per amount."""
    amounts = sorted({row["amount"] for row in found["rows"]})
    cells = {(row["network"], row["method"], row["amount"]): row for row in found["rows"]}
    rows: Rows = [["network", "method", *(f"{1 / (1 - amount):.0f}" for amount in amounts)]]
    for network, method in dict.fromkeys((row["network"], row["method"]) for row in found["rows"]):
        row = [cells.get((network, method, amount)) for amount in amounts]
        rows.append([network, method, *("" if one is None else _shares(one) for one in row)])
    return rows, f"parameters, MACs and file, small / dense or masked; torch {found['versions']['torch']}"


def _shares(row: dict[str, Any]) -> str:
    return "no path" if "refused" in row else ", ".join(_left(row))


def _left(row: dict[str, Any]) -> list[str]:
    parts = (("parameters", "dense"), ("macs", "dense"), ("bytes", "masked"))
    return [f"{row[part]['small'] / row[part][whole]:.1%}" for part, whole in parts]


#: the function that makes a table, and its file
TABLES = {"smaller": (smaller, "smaller"), "smaller_untimed": (untimed, "smaller_untimed")}
