"""A result is whole or not there, and a claim ends with its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.origin import ROOT
from benchmarks.sweep.store import ORPHAN, Store
from benchmarks.sweep.trial import Trial
from benchmarks.training.recipes import Recipe
from tests.benchmarks.sweep.records import record

TRIAL = Trial(measure="masks", dataset="digits", network="vgg_small", recipe=Recipe(epochs=0))
RECORD = record()


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "folder")
    assert store.read(TRIAL) is None
    store.write(TRIAL, RECORD)
    assert store.read(TRIAL) == {"settings": TRIAL.settings, **RECORD}
    assert [p.name for p in store.folder.iterdir()] == [f"{TRIAL.name}.json"]
    assert store.records([TRIAL, replace(TRIAL, seed=1)]).keys() == {TRIAL.name}


@pytest.mark.parametrize("damage", ["half", "empty", "binary", "other settings", "no result", "a list"])
def test_a_damaged_file_is_no_result(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.write(TRIAL, RECORD)
    whole = store.path(TRIAL).read_bytes()
    other = {**json.loads(whole), "settings": replace(TRIAL, seed=1).settings}
    content = {
        "half": whole[: len(whole) // 2], "empty": b"", "binary": bytes(range(128, 256)),
        "other settings": json.dumps(other).encode(), "no result": json.dumps({"settings": TRIAL.settings}).encode(),
        "a list": b"[]",
    }[damage]  # fmt: skip
    store.path(TRIAL).write_bytes(content)
    assert store.read(TRIAL) is None
    assert store.is_damaged(TRIAL)
    store.write(TRIAL, RECORD)
    assert not store.is_damaged(TRIAL)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(TRIAL, RECORD)
    with pytest.raises(TypeError):
        store.write(TRIAL, {"result": {"kept": object()}})
    assert store.read(TRIAL) == {"settings": TRIAL.settings, **RECORD}
    assert len(list(tmp_path.iterdir())) == 1


def test_old_unfinished_files_are_removed_and_new_ones_are_not(tmp_path: Path) -> None:
    old, new = tmp_path / ".a.part", tmp_path / ".b.part"
    for path in (old, new):
        path.write_text("{")
    os.utime(old, (time.time() - 2 * ORPHAN,) * 2)
    Store(tmp_path).clean()
    assert not old.exists()
    assert new.exists()


HOLDER = """
import sys, time
from pathlib import Path
from benchmarks.sweep.store import Store
from tests.benchmarks.sweep.test_store import TRIAL
store = Store(Path(sys.argv[1]))
print(store.claim(TRIAL), flush=True)
time.sleep(60)
"""


def test_a_claim_keeps_others_out_until_its_process_is_killed(tmp_path: Path) -> None:
    store, other = Store(tmp_path), replace(TRIAL, seed=1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not store.claim(TRIAL)
        assert store.claim(other)
        holder.send_signal(signal.SIGKILL)
        assert store.claim(TRIAL, wait=True)
        store.release(TRIAL)
    store.close()
