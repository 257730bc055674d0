"""What is taken for a result can be drawn: keys, types, finite numbers, an origin; and is a file."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.figures import FIGURES
from benchmarks.origin import RESULTS, ROOT
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.lines import record_in
from benchmarks.sweep.run import Summary, _record
from benchmarks.sweep.schema import fault_in
from benchmarks.sweep.store import Store
from benchmarks.sweep.trial import Trial
from benchmarks.training.recipes import Recipe
from tests.benchmarks.sweep import records

TRIAL = Trial(measure="masks", dataset="digits", network="vgg_small", recipe=Recipe(epochs=0))


@pytest.mark.parametrize("measure", records.RESULTS)
def test_every_part_of_a_record_is_looked_at(measure: str) -> None:
    whole = {"settings": {"measure": measure}, **records.record(measure)}
    assert fault_in(whole) is None
    faults = {}
    for part in ("result", "origin"):
        for key in whole[part]:
            without, other = copy.deepcopy(whole), copy.deepcopy(whole)
            del without[part][key]
            other[part][key] = object()
            faults[part, key] = (fault_in(without), fault_in(other))
    optional = {("origin", "images_per_second"), ("result", "history")}
    for (part, key), (without, other) in faults.items():
        if (part, key) not in optional:
            assert without == f"{part}: no {key}"
            assert other == f"{part}: {key} not as expected"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "0.5", True, None])
def test_a_number_is_finite_wherever_it_is(value: Any) -> None:
    for measure, key in (
        ("accuracy", "best_accuracy"),
        ("limit", "critical_log10_compression"),
        ("masks", "effective"),
    ):
        assert fault_in({"settings": {"measure": measure}, **records.record(measure, **{key: value})}) is not None
    if isinstance(value, float):
        deep = records.record(another={"of": [[1.0, value]]})
        assert fault_in({"settings": {"measure": "masks"}, **deep}) == "a number that is not finite"
        assert fault_in({"settings": {"measure": "masks"}, **records.record(origin={"seconds": {"all": value}})})


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"settings":' * 100_000, b"1e999", b"NaN", b"\xff"])
def test_what_is_nested_without_end_is_damaged(content: bytes) -> None:
    assert record_in(content) is None


def test_lists_that_are_drawn_together_are_of_one_length() -> None:
    uneven = {"settings": {"measure": "scores"}, **records.record("scores", into=[1.0])}
    assert fault_in(uneven) == "result: into, out of different lengths"


def test_every_committed_result_is_one() -> None:
    lines = [line for path in (RESULTS / "trials").glob("*.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) > 1000
    assert [fault for line in lines if (fault := fault_in(json.loads(line)))] == []


def test_a_result_that_could_not_be_drawn_is_a_failure_and_is_not_kept(tmp_path: Path) -> None:
    store, summary = Store(tmp_path), Summary()
    _record(TRIAL, records.record(effective=math.nan), store, summary)
    assert summary.failed == [
        (TRIAL, "the result cannot be plotted and was discarded: result: effective not as expected")
    ]
    assert store.read(TRIAL) is None
    assert not store.path(TRIAL).exists()


def test_a_result_without_what_is_drawn_is_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure, choice = FIGURES["synflow-2"], Choice(pair=("digits/vgg_small",), methods=("magnitude",), densities=(0.5,))
    (trial,) = figure.trials(choice)
    store = Store(tmp_path)
    which = ["synflow-2", "--pair", "digits/vgg_small", "--methods", "magnitude", "--densities", "0.5"]
    for lacking in ({"layers": None}, {"layers": [["0.weight", 3]]}, {"layers": [["0.weight", math.inf, 12]]}):
        store.write(trial, records.record(trial.measure, **lacking))
        assert main(["plot", *which, "--results", str(tmp_path), "--out", str(tmp_path / "a.png")]) == 2
        assert "has a result" in capsys.readouterr().err
        assert store.is_damaged(trial)
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    assert main(["run", *which, "--results", str(tmp_path), "--device", "cpu"]) == 0
    assert main(["plot", *which, "--results", str(tmp_path), "--out", str(tmp_path / "a.png")]) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_pipes_and_folders_are_no_results_and_nothing_waits_for_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    os.mkfifo(store.path(TRIAL))
    os.mkfifo(tmp_path / "all.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "folder.json").mkdir()
    assert store.read(TRIAL) is None
    assert store.is_damaged(TRIAL)
    assert store.lines.damaged() == []
    packed = subprocess.run(
        [sys.executable, "-m", "benchmarks", "pack", "--results", str(tmp_path)], cwd=ROOT, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert packed.returncode == 1, packed.stderr
    assert f"{TRIAL.name}.json holds no result" in packed.stdout
    store.write(TRIAL, records.record())
    assert store.read(TRIAL) is not None


def test_a_folder_that_can_not_be_written_is_told_before_the_first_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    store = Store(tmp_path)
    store.check()
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]

    def refuse(path: Path, content: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("benchmarks.sweep.store.write_whole", refuse)  # root may write wherever a mode forbids it
    arguments = ["run", "synflow-2", "--pair", "digits/vgg_small", "--device", "cpu", "--results", str(tmp_path)]
    assert main(arguments) == 2
    assert f"--results: expected a folder to write results to, got {tmp_path}: " in capsys.readouterr().err
    assert not (tmp_path / "log.txt").exists()
