"""Results in files of many lines are found beside single files, at once where a file has changed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from benchmarks.sweep.executors import InProcess
from benchmarks.sweep.lines import LineFiles
from benchmarks.sweep.run import run
from benchmarks.sweep.store import Store
from benchmarks.sweep.whole import read_regular
from benchmarks.training.datasets import Source
from tests.benchmarks.sweep.records import record
from tests.benchmarks.sweep.test_store import RECORD, TRIAL

TRIALS = [replace(TRIAL, seed=seed, method="random", density=0.5) for seed in range(4)]


def line(seed: int, kept: int = 3) -> str:
    return json.dumps({"settings": TRIALS[seed].settings, **record(kept=kept)}, sort_keys=True)


def kept(store: Store) -> list[int | None]:
    """Of each trial, what its record says."""
    return [record and record["result"]["kept"] for record in map(store.read, TRIALS)]


def test_records_are_read_from_all_files_of_the_folder(tmp_path: Path) -> None:
    store = Store(tmp_path / "folder")
    assert kept(store) == [None] * 4
    store.folder.mkdir()
    (store.folder / "a.jsonl").write_text(f"{line(0)}\n\n{line(1, 4)}\n")
    (store.folder / "b.jsonl").write_text(line(2, 5))  # without an end of line
    assert kept(store) == [3, 4, 5, None]
    assert store.records(TRIALS).keys() == {trial.name for trial in TRIALS[:3]}
    assert not store.is_damaged(TRIALS[0])


def test_a_single_file_counts_before_a_line_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "a.jsonl").write_text(line(0))
    store.write(TRIALS[0], record(kept=9))
    assert kept(store)[0] == 9
    store.path(TRIALS[0]).write_text("{")
    assert kept(store)[0] == 3
    assert not store.is_damaged(TRIALS[0])


@pytest.mark.parametrize("damage", ["{", "[]", "\udc80", '{"settings": 1, "result": {}}', '{"result": {"kept": 3}}'])
def test_a_damaged_line_is_said_and_the_others_are_read(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"{line(0)}\n{damage}\n{line(2)}\n"
    (tmp_path / "a.jsonl").write_bytes(text.encode(errors="surrogateescape"))
    store = Store(tmp_path)
    assert kept(store) == [3, None, 3, None]
    with caplog.at_level("WARNING", "benchmarks"):
        summary = run(TRIALS[:3], store, InProcess(Source(), "cpu", 1), bar=False)
    assert "a.jsonl, line 2, is damaged" in caplog.text
    assert (summary.there, summary.done, summary.failed) == (2, 1, [])
    assert store.path(TRIALS[1]).exists()


def test_a_line_of_other_settings_is_no_result(tmp_path: Path) -> None:
    other = {"settings": {**TRIALS[0].settings, "version": 0}, **record(kept=1)}
    (tmp_path / "a.jsonl").write_text(json.dumps(other) + "\n")
    assert kept(Store(tmp_path)) == [None] * 4


def test_changes_by_others_are_seen(tmp_path: Path) -> None:
    store, path = Store(tmp_path), tmp_path / "a.jsonl"
    path.write_text(line(0) + "\n")
    assert kept(store) == [3, None, None, None]
    with path.open("a") as file:  # another process appends
        file.write(line(1) + "\n")
    assert kept(store) == [3, 3, None, None]
    (tmp_path / "new").write_text(line(2, 7) + "\n")
    (tmp_path / "new").replace(path)  # or replaces
    assert kept(store) == [None, None, 7, None]
    (tmp_path / "b.jsonl").write_text(line(3) + "\n")  # or adds a file
    assert kept(store) == [None, None, 7, 3]
    path.unlink()
    assert kept(store) == [None, None, None, 3]


def test_a_file_is_parsed_once_and_a_settled_folder_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text(line(0) + "\n")
    os.utime(tmp_path, (time.time() - 60,) * 2)
    reads, lists = [], []
    glob = Path.glob
    monkeypatch.setattr(
        "benchmarks.sweep.lines.read_regular", lambda path: (reads.append(path.name), read_regular(path))[1]
    )
    monkeypatch.setattr(Path, "glob", lambda path, pattern: (lists.append(pattern), glob(path, pattern))[1])
    files = LineFiles(tmp_path)
    for _ in range(3):
        assert json.loads(files.line(TRIALS[0].name))["result"]["kept"] == 3
        assert files.line(TRIALS[1].name) == b""
    assert (reads, lists) == (["a.jsonl"], ["*.jsonl"])


def test_of_several_records_of_a_trial_the_last_in_the_first_file_counts(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text(line(0, 1) + "\n")
    (tmp_path / "a.jsonl").write_text(f"{line(0, 2)}\n{line(0, 4)}\n")
    assert kept(Store(tmp_path))[0] == 4


def test_a_record_that_is_discarded_is_gone_wherever_it_was(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(f"{line(0)}\n{line(1)}\n")
    store = Store(tmp_path)
    store.write(TRIALS[0], RECORD)
    store.discard(TRIALS[0])
    assert kept(store) == [None, 3, None, None]
    assert (tmp_path / "a.jsonl").read_text() == line(1) + "\n"
