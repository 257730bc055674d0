"""The sizes of shrunk networks can be filled in without times, and a run goes on where another one ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torchvision")

from benchmarks.speed import smaller


def rows(out: Path, monkeypatch: pytest.MonkeyPatch, *amounts: str) -> list[dict[str, Any]]:
    options = ["--untimed", "--networks", "ResNet-20", "--methods", "magnitude", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["smaller", *options, "--amounts", *amounts, "--out", str(out)])
    smaller.main()
    found: list[dict[str, Any]] = json.loads(out.read_text())["rows"]
    return found


def test_sizes_without_times_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "sizes.json"
    (first,) = rows(out, monkeypatch, "0.99")
    assert "speed_up" not in first
    assert first["parameters"]["small"] < first["parameters"]["dense"]
    assert first["bytes"]["small"] < first["bytes"]["masked"]
    assert first["macs"]["small"] < first["macs"]["dense"] == first["macs"]["masked"]
    monkeypatch.setattr(smaller, "measure", lambda name, method, amount, *_, **__: {**first, "amount": amount})
    again = rows(out, monkeypatch, "0.99", "0.5")
    assert [row["amount"] for row in again] == [0.99, 0.5]
    assert again[0] == first
