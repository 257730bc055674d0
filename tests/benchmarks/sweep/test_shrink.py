"""Trials that train the network without what the masks have emptied: the same results, and what is cut off."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("sklearn")

from benchmarks.__main__ import main
from benchmarks.sweep.measure import Bench
from benchmarks.sweep.trial import Trial
from benchmarks.training.datasets import Source
from benchmarks.training.recipes import frankle

RECIPE = replace(frankle("digits", "vgg_small").scaled(0.3), rate=0.05)


@pytest.fixture
def doubles() -> Iterator[None]:
    """Doubles throughout: in float32 what is added in another order drifts apart, each step more."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def bench(shrink: bool, **settings: Any) -> Bench:
    plain: dict[str, Any] = {"measure": "accuracy", "dataset": "digits", "network": "vgg_small"}
    trial = Trial(**{**plain, **settings}, recipe=replace(RECIPE, shrink=shrink))
    return Bench(trial, Source(), torch.device("cpu"))


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "synflow", "density": 0.02, "iterations": 20},
        {"network": "resnet_small", "method": "synflow", "density": 0.03, "iterations": 20, "seed": 1},
        {"method": "snip", "density": 0.05, "examples": 10, "prune_epoch": 0.5, "rewind_epoch": 0.0},
    ],
)
def test_accuracies_are_those_of_the_masked_network(settings: dict[str, Any], doubles: None) -> None:
    masked, shrunk = (bench(shrink, **settings).measure() for shrink in (False, True))
    assert shrunk["accuracy"] == masked["accuracy"]
    assert {key: shrunk[key] for key in ("kept", "total", "layers")} == {
        key: masked[key] for key in ("kept", "total", "layers")
    }
    for (epoch, loss, accuracy), (_, other, _) in zip(masked["history"], shrunk["history"], strict=True):
        assert other == pytest.approx(loss, rel=1e-12), f"epoch {epoch}, accuracy {accuracy}"


def test_what_is_trained_is_smaller() -> None:
    masked, shrunk = (bench(shrink, method="synflow", density=0.02, iterations=20) for shrink in (False, True))
    sizes = [sum(p.numel() for p in b.to_train(b.subnetwork()[0]).parameters()) for b in (masked, shrunk)]
    assert sizes[1] < 0.5 * sizes[0]
    assert "shrinking" in shrunk.seconds
    assert "shrinking" not in masked.seconds


@pytest.mark.parametrize("network", ["vgg_small", "resnet_small"])
def test_a_network_without_a_path_is_tested_and_not_trained(network: str) -> None:
    cut = bench(True, network=network, method="magnitude", density=0.0001)
    found = cut.measure()
    assert found["history"] == []
    assert not found["diverged"]
    labels = cut.data()[1].labels
    constant = [round(100 * float((labels == answer).double().mean()), 4) for answer in range(10)]
    assert found["accuracy"] == found["best_accuracy"]
    assert found["accuracy"] in constant
    assert bench(False, network=network, method="magnitude", density=0.0001).measure()["accuracy"] in constant


def test_results_say_that_they_are_of_shrunk_networks(tmp_path: Path) -> None:
    command = ["run", "frankle-3", "--pair", "digits/vgg_small", "--seeds", "1", "--densities", "0.1", "--methods",
               "synflow", "--iterations", "5", "--epochs", "1", "--results", str(tmp_path)]  # fmt: skip
    main(command)
    main([*command, "--shrink"])
    records = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert sorted(record["settings"]["recipe"].get("shrink", False) for record in records) == [False, True]
    accuracies = {record["result"]["accuracy"] for record in records}
    assert len(accuracies) == 1


def test_shrinking_what_is_not_trained_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "synflow-2", "--pair", "digits/vgg_small", "--shrink", "--results", str(tmp_path)]) != 0
    assert re.search("--shrink: has no effect on synflow-2", capsys.readouterr().err)
