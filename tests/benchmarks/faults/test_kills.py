"""Sweeps that are killed lose nothing, and the fuzzer would see it if they did."""

from __future__ import annotations

import random
from typing import Any

import pytest

pytest.importorskip("sklearn")

from benchmarks.faults import kills
from benchmarks.figures import FIGURES
from benchmarks.sweep.store import Store
from tests.benchmarks.sweep.records import record

TRIALS = FIGURES[kills.FIGURE].trials(kills.CHOICE)
EXPECTED: dict[str, Any] = {trial.name: record(trial.measure)["result"] for trial in TRIALS}


def test_kills_of_a_sweep_lose_nothing() -> None:
    found = list(kills.in_turn(range(2)))
    assert [str(finding) for finding in found if finding.violations] == []
    assert any(finding.reached for finding in found)


def test_what_is_lost_is_found() -> None:
    with kills.Sweep() as sweep:
        look_for_losses(sweep)


def look_for_losses(sweep: kills.Sweep) -> None:
    store = Store(sweep.path)
    for trial in TRIALS:
        store.write(trial, record(trial.measure))
    before = kills.records_in(sweep.path)
    assert sweep.lost(before, EXPECTED) == []
    first, second, *_ = TRIALS
    store.path(first).unlink()
    assert sweep.lost(before, EXPECTED) == [f"{first.name} is lost"]
    store.write(first, record(first.measure, kept=4))
    assert sweep.lost(before, EXPECTED) == [
        f"{first.name} has changed", f"{first.name} has another result than without a disturbance",
    ]  # fmt: skip
    store.write(first, record(first.measure))
    store.path(second).write_text("{")
    assert sweep.lost({}, EXPECTED) == [f"{second.name}.json damaged"]
    store.path(second).unlink()
    (sweep.path / "all.jsonl").write_text("{\n")
    assert sweep.lost({}, EXPECTED) == ["all.jsonl, line 1, damaged"]


@pytest.mark.slow
def test_many_kills_lose_nothing() -> None:
    seed = random.SystemRandom().randrange(10**9)
    found = list(kills.in_turn(range(seed, seed + 40)))
    assert [str(finding) for finding in found if finding.violations] == []
