"""Estimates of time go by results of trials that cost the same, on the same device, and else by steps measured here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("sklearn")

from benchmarks.sweep.estimate import report
from benchmarks.sweep.store import Store
from benchmarks.sweep.trial import Trial
from benchmarks.training import recipes
from tests.benchmarks.sweep.records import record

TRIAL = Trial(
    measure="accuracy", dataset="digits", network="vgg_small", recipe=recipes.synflow("digits", "vgg_small"),
    method="magnitude", density=0.5,
)  # fmt: skip
YEAR = 365 * 86_400


def estimated(folder: Path, missing: Trial, device: str = "cpu, 1 threads") -> str:
    """The last line of a report on two trials, one of them there, which took a year."""
    store = Store(folder)
    store.write(TRIAL, record("accuracy", {"seconds": {"all": YEAR}, "device": device}))
    return report([TRIAL, missing], store, "cpu").splitlines()[-1]


@pytest.mark.parametrize("other", [{"seed": 1}, {"density": 0.1}, {"ablation": "shuffle"}])
def test_what_is_there_tells_the_time_of_what_costs_the_same(other: dict[str, Any], tmp_path: Path) -> None:
    assert estimated(tmp_path, replace(TRIAL, **other)) == "about 365.0 days on cpu"


@pytest.mark.parametrize(
    "other",
    [
        {"prune_epoch": 1.0},
        {"prune_epoch": 1.0, "rewind_epoch": 0.0, "levels": 2},
        {"method": "snip", "examples": 10},
        {"recipe": replace(TRIAL.recipe, epochs=1)},
        {"recipe": replace(TRIAL.recipe, precision="bfloat16")},
    ],
)  # fmt: skip
def test_it_tells_nothing_of_what_costs_more_or_less(other: dict[str, Any], tmp_path: Path) -> None:
    assert "days" not in estimated(tmp_path, replace(TRIAL, **other))


def test_results_of_another_device_tell_nothing(tmp_path: Path) -> None:
    assert "days" not in estimated(tmp_path, replace(TRIAL, seed=1), device="NVIDIA H200")


def test_a_number_of_threads_is_given_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    assert "about" in report([TRIAL], Store(tmp_path), "cpu", threads=before + 1)
    assert torch.get_num_threads() == before
