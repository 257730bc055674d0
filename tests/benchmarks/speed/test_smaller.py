"""The sizes of shrunk networks can be filled in without times, and a run goes on where another one ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn

pytest.importorskip("torchvision")

from benchmarks.speed import smaller
from torch_synflow import prune


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


def test_weights_that_are_almost_empty_are_tried_in_a_sparse_format() -> None:
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.MultiheadAttention(16, 2), nn.Linear(16, 64), nn.Linear(64, 10))
    for module, name in ((model[0], "weight"), (model[1], "in_proj_weight"), (model[2], "weight")):
        prune.random_unstructured(module, name, 0.97)
    prune.random_unstructured(model[3], "weight", 0.9)
    rows = smaller.sparse_formats(model, 1)
    assert [row["layer"] for row in rows] == ["0.weight", "1.in_proj_weight", "2.weight"]
    assert all(row["density"] == pytest.approx(0.03, abs=1e-3) and row["dense_to_csr"] > 0 for row in rows)
