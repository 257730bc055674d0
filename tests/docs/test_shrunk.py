"""The tables of shrunk networks, on the page about smaller ones."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sphinx")
import shrunk

PLAIN = {"network": "ViT", "method": "SNIP", "runs": 5, "channels_last": False, "compiled": False}
VERSIONS = {"versions": {"torch": "2.2.2"}, "device": "cpu", "threads": 1}


def row(amount: float, small: int = 25) -> dict[str, Any]:
    sizes = {"dense": 100, "masked": 200, "small": small}
    return {**PLAIN, "amount": amount, "parameters": sizes, "macs": {**sizes, "small": 50}, "bytes": sizes}


def timed(amount: float, ratios: list[float]) -> dict[str, Any]:
    times = {"median": 2.0, "lowest": 1.5, "highest": 2.25}
    formats = [{"layer": "fc", "density": 0.01, "dense_to_csr": ratio} for ratio in ratios]
    return {**row(amount), "speed_up": {"latency": times, "training_step": times}, "sparse_formats": formats}


def test_a_timed_row_says_what_is_left_how_much_faster_it_is_and_how_many_layers_csr_makes_faster() -> None:
    rows, where = shrunk.smaller({"rows": [timed(0.9, [0.5, 1.5]), timed(0.99, [])], **VERSIONS})
    faster = "2.00 (1.50 to 2.25)"
    assert rows[1] == ["ViT", "SNIP", "10", "25.0%", "50.0%", "12.5%", faster, faster, "1 of 2"]
    assert rows[2][-1] == ""
    assert "over 95 % empty" in where
    assert "medians of 5 runs" in where


def test_a_network_without_a_path_has_a_row() -> None:
    refused = {**PLAIN, "amount": 0.999, "refused": "cut at fc"}
    rows, _ = shrunk.smaller({"rows": [timed(0.9, []), refused], **VERSIONS})
    assert rows[2][:4] == ["ViT", "SNIP", "1000", "no path"]
    assert len(rows[2]) == len(rows[0])
    rows, where = shrunk.smaller_short({"rows": [timed(0.9, []), refused], **VERSIONS})
    assert rows == [["network", "method", "10", "1000"], ["ViT", "SNIP", "25.0%, 2.00", "no path"]]
    assert where.startswith("parameters left, and time of a training step")


def test_rows_in_another_layout_or_compiled_have_a_table_of_their_own() -> None:
    found = {"rows": [timed(0.9, []), timed(0.99, []) | {"channels_last": True, "compiled": True}], **VERSIONS}
    rows, _ = shrunk.smaller(found)
    assert [row[2] for row in rows[1:]] == ["10"]
    rows, where = shrunk.smaller_run_as(found)
    faster = "2.00 (1.50 to 2.25)"
    assert rows[1:] == [["ViT", "SNIP", "channels last, compiled", "100", "25.0%", "50.0%", "12.5%", faster, faster]]
    assert len(rows[1]) == len(rows[0])
    assert "CSR" not in where + "".join(rows[0])
