"""Packing moves each result once, and an interrupt at any moment loses none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from benchmarks.__main__ import main
from benchmarks.figures import FIGURES, first_with
from benchmarks.origin import RESULTS, ROOT
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.pack import Folded, pack
from benchmarks.sweep.store import Store
from benchmarks.sweep.trial import Trial, name_of, trial_of
from tests.benchmarks.sweep.records import record
from tests.benchmarks.sweep.test_lines import TRIALS, kept, line


def filled(folder: Path) -> Store:
    """A store with a single file of each trial."""
    store = Store(folder)
    for number, trial in enumerate(TRIALS):
        store.write(trial, record(kept=number))
    return store


def by_seed(trial: Trial) -> str:
    return f"figure-{trial.seed % 2}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".locks")


def test_every_record_is_once_in_the_file_of_its_figure_unchanged(tmp_path: Path) -> None:
    store = filled(tmp_path)
    before = {path.read_text() for path in tmp_path.glob("*.json")}
    assert pack(store, by_seed).counts == {"figure-0.jsonl": 2, "figure-1.jsonl": 2}
    assert names(tmp_path) == ["figure-0.jsonl", "figure-1.jsonl"]
    after = [text for path in tmp_path.iterdir() for text in path.read_text().splitlines(keepends=True)]
    assert sorted(after) == sorted(before)
    assert kept(store) == kept(Store(tmp_path)) == [0, 1, 2, 3]
    content = (tmp_path / "figure-0.jsonl").read_bytes()
    assert pack(store, by_seed).counts == {}
    assert (tmp_path / "figure-0.jsonl").read_bytes() == content


def test_a_newer_single_file_replaces_the_line_where_that_is(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.jsonl").write_text(f"{line(1)}\n{line(0)}\n")
    store = filled(tmp_path)
    assert pack(store, by_seed).counts == {"elsewhere.jsonl": 2, "figure-0.jsonl": 1, "figure-1.jsonl": 1}
    assert kept(store) == [0, 1, 2, 3]
    found = [json.loads(text) for text in (tmp_path / "elsewhere.jsonl").read_text().splitlines()]
    assert [name_of(record["settings"]) for record in found] == sorted(trial.name for trial in TRIALS[:2])


def test_damaged_files_and_lines_stay_and_are_said(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.path(TRIALS[0]).write_text("{")
    store.path(TRIALS[1]).rename(tmp_path / "other.json")  # a result under the name of no trial
    (tmp_path / "third.json").write_text('{"settings": {"recipe": 1}, "result": {}}')
    (tmp_path / "figure-0.jsonl").write_text("half a li")
    folded = pack(store, by_seed)
    assert sorted(folded.damaged) == sorted([store.path(TRIALS[0]).name, "other.json", "third.json"])
    assert f"{store.path(TRIALS[0]).name} holds no result of the trial in its name, and stays" in str(folded)
    assert kept(store) == [None, None, 2, 3]
    assert (tmp_path / "figure-0.jsonl").read_text().splitlines()[1:] == ["half a li"]
    assert {"other.json", "third.json", store.path(TRIALS[0]).name} < {*names(tmp_path)}


HOLDER = """
import sys
from pathlib import Path
from benchmarks.sweep.store import Store
from tests.benchmarks.sweep.records import record
from tests.benchmarks.sweep.test_lines import TRIALS
store = Store(Path(sys.argv[1]))
print(store.claim(TRIALS[0]), flush=True)
sys.stdin.readline()
"""


def test_a_trial_that_another_process_runs_stays(tmp_path: Path) -> None:
    store = filled(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        folded = pack(store, by_seed)
        holder.communicate("\n")
    assert folded.claimed == [store.path(TRIALS[0]).name]
    assert store.path(TRIALS[0]).exists()
    assert kept(store) == [0, 1, 2, 3]
    assert pack(store, by_seed) == Folded({"figure-0.jsonl": 1})  # and afterwards it goes too


class Killed(BaseException):
    """What ends the process."""


class Moments:
    """Raises at one of the moments before and after the calls that are watched."""

    def __init__(self, last: int) -> None:
        self.left = last

    def passes(self) -> None:
        self.left -= 1
        if not self.left:
            raise Killed

    def watched(self, call: Any) -> Any:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.passes()
            found = call(*arguments, **options)
            self.passes()
            return found

        return wrapped


def test_an_interrupt_at_any_moment_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endings = 0
    for last in range(1, 100):
        store, moments = filled(tmp_path / str(last)), Moments(last)
        with monkeypatch.context() as patched:
            for where, name in ((os, "fsync"), (os, "replace"), (Path, "unlink")):
                patched.setattr(where, name, moments.watched(getattr(where, name)))
            try:
                pack(store, by_seed)
            except Killed:
                endings += 1
        assert kept(Store(store.folder)) == [0, 1, 2, 3]
        pack(Store(store.folder), by_seed)
        assert kept(Store(store.folder)) == [0, 1, 2, 3]
        lines = [text for path in store.folder.glob("*.jsonl") for text in path.read_text().splitlines()]
        assert (len(lines), list(store.folder.glob("*.json"))) == (4, [])
        if moments.left > 0:
            break
    assert endings == last - 1 == 2 * (2 * 3 + 4)  # for each of two files two syncs and a rename; four removals


def test_the_command_packs_by_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", "--results", str(tmp_path / "none")]) == 2
    assert "error: --results: expected a folder of results, got" in capsys.readouterr().err
    store = filled(tmp_path)
    assert main(["pack", "--results", str(tmp_path)]) == 0
    assert names(tmp_path) == ["synflow-2.jsonl"]
    assert capsys.readouterr().out.split() == ["synflow-2.jsonl", "4", "packed", "4"]
    store.path(TRIALS[0]).write_text("{")
    assert main(["pack", "--results", str(tmp_path)]) == 1
    assert "holds no result" in capsys.readouterr().out


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_its_trials_whatever_was_chosen(name: str) -> None:
    choice = Choice(pair=("digits/vgg_small",), seeds=2, densities=(0.3,), epochs_scale=0.7, examples=3)
    trials = FIGURES[name].trials(choice)
    assert trials
    assert all(FIGURES[name].has(trial) for trial in trials)
    assert {first_with(trial) for trial in trials} <= set(FIGURES)


def test_a_trial_of_no_figure_has_a_file_too() -> None:
    assert first_with(Trial(measure="limit", dataset="digits", network="vgg_small", recipe=TRIALS[0].recipe)) == "other"


def test_the_committed_results_are_packed_each_once_in_the_file_of_its_figure() -> None:
    seen: list[str] = []
    for path in (RESULTS / "trials").glob("*.jsonl"):
        for text in path.read_text().splitlines():
            trial = trial_of(json.loads(text)["settings"])
            assert path.stem == first_with(trial)
            seen.append(trial.name)
    assert len(seen) == len({*seen}) >= 1152
