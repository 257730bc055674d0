"""The same trials by one worker of Ray and by two."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from benchmarks.origin import ROOT
from benchmarks.speed.scaling import trials_of


def test_trials_differ_in_their_seeds_alone() -> None:
    trials = trials_of(4, 3)
    assert [trial.seed for trial in trials] == [0, 1, 2, 3]
    assert len({trial.name for trial in trials}) == 4
    assert {str(trial).rpartition(",")[0] for trial in trials} == {str(trials[0]).rpartition(",")[0]}
    assert (trials[0].measure, trials[0].recipe.epochs, trials[0].density) == ("accuracy", 3, 0.5)


@pytest.mark.slow
def test_trials_an_hour_of_one_worker_and_of_two(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    out = tmp_path / "scaling.json"
    command = [sys.executable, "-m", "benchmarks.speed.scaling", "--trials", "4", "--epochs", "2", "--runs", "1"]
    done = subprocess.run([*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["command"] == "python -m benchmarks.speed.scaling --trials 4 --epochs 2 --runs 1 --out scaling.json"
    assert (found["trials"], found["runs"]) == (4, 1)
    one, two = found["rows"]
    assert (one["workers"], two["workers"]) == (1, 2)
    assert one["ratio"] == 1
    assert two["ratio"] == pytest.approx(one["seconds"] / two["seconds"])
    for row in (one, two):
        assert row["trials_an_hour"] == pytest.approx(3600 * 4 / row["seconds"])
        assert row["startup_seconds"] > 0
    assert "2 workers:" in done.stdout
