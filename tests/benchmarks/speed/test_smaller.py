"""Rows on shrunk networks: what they hold, how networks are laid out, and that a run goes on where one ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("torchvision")

from benchmarks.speed import smaller
from torch_synflow import prune


def rows(out: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> list[dict[str, Any]]:
    always = ["--networks", "ResNet-20", "--methods", "magnitude", "--runs", "1", "--batch", "4", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["smaller", *always, *options, "--out", str(out)])
    smaller.main()
    found: list[dict[str, Any]] = json.loads(out.read_text())["rows"]
    return found


def test_a_run_measures_what_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "smaller.json"
    (first,) = rows(out, monkeypatch, "--amounts", "0.99")
    assert first["parameters"]["small"] < first["parameters"]["dense"]
    assert first["bytes"]["small"] < first["bytes"]["masked"]
    assert first["macs"]["small"] < first["macs"]["dense"] == first["macs"]["masked"]
    assert all(first["training_step_seconds"][kind]["lowest"] > 0 for kind in smaller.KINDS)
    assert out.with_suffix(".png").stat().st_size > 10_000
    measured = []

    def measure(name: str, method: str, amount: float, *_: Any, channels_last: bool, **__: Any) -> dict[str, Any]:
        measured.append((amount, channels_last))
        return {**first, "amount": amount, "channels_last": channels_last}

    monkeypatch.setattr(smaller, "measure", measure)
    assert rows(out, monkeypatch, "--amounts", "0.99", "0.5")[0] == first
    rows(out, monkeypatch, "--amounts", "0.99", "--channels-last")
    assert measured == [(0.5, False), (0.99, True)]


def test_the_latency_of_the_shrunk_network_is_without_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: dict[str, list[bool]] = {"latency": [], "training_step": []}
    for what, kinds in masked.items():

        def note(model: nn.Module, x: torch.Tensor, kinds: list[bool] = kinds) -> Callable[[], object]:
            return lambda: kinds.append(prune.is_pruned(model))

        monkeypatch.setattr(smaller, what, note)
    smaller.measure("ResNet-20", "magnitude", 0.9, 1, 4, 1, torch.device("cpu"))
    assert masked == {"latency": 2 * [False, True, False], "training_step": 2 * [False, True, True]}


def test_networks_and_images_are_laid_out_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(smaller, "training_step", lambda model, x: lambda: seen.append((model, x)))
    row = smaller.measure("ResNet-20", "magnitude", 0.9, 1, 4, 1, torch.device("cpu"), channels_last=True)
    assert row["channels_last"]
    assert len(seen) == 6  # a warm-up and a run of three networks
    for model, x in seen:
        weights = [weight for weight in model.parameters() if weight.dim() == 4]
        assert len(weights) > 19
        assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (*weights, x))


def test_weights_that_are_almost_empty_are_tried_in_a_sparse_format() -> None:
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.MultiheadAttention(16, 2), nn.Linear(16, 64), nn.Linear(64, 10))
    for module, name in ((model[0], "weight"), (model[1], "in_proj_weight"), (model[2], "weight")):
        prune.random_unstructured(module, name, 0.97)
    prune.random_unstructured(model[3], "weight", 0.9)
    rows = smaller.sparse_formats(model, 1)
    assert [row["layer"] for row in rows] == ["0.weight", "1.in_proj_weight", "2.weight"]
    assert all(row["density"] == pytest.approx(0.03, abs=1e-3) and row["dense_to_csr"] > 0 for row in rows)
