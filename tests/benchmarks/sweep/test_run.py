"""Real drivers on real folders: killed, crowded, out of space or with damaged files, the next run completes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from benchmarks.figures import FIGURES
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.executors import InProcess
from benchmarks.sweep.run import run
from benchmarks.sweep.store import Store
from benchmarks.training.datasets import Source
from tests.benchmarks.sweep.drivers import (
    SMALL,
    TRAINED,
    TRAINED_COUNT,
    count_of,
    drive,
    ended,
    finish,
    results_in,
    wait_for,
)


def test_a_second_run_runs_nothing_and_a_larger_one_only_the_rest(tmp_path: Path) -> None:
    part = [*SMALL, "--log10-compressions", "1", "2"]
    assert count_of(finish(*part, results=tmp_path), "run now") == 6
    before = results_in(tmp_path)
    again = finish(*part, results=tmp_path)
    assert (count_of(again, "run now"), count_of(again, "there before")) == (0, 6)
    assert results_in(tmp_path) == before
    more = finish(*[*SMALL, "--log10-compressions", "1", "2", "3"], results=tmp_path)
    assert (count_of(more, "run now"), count_of(more, "there before")) == (3, 6)
    assert before.items() <= results_in(tmp_path).items()


def test_a_killed_driver_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    driver = drive(*TRAINED, results=tmp_path)
    wait_for(tmp_path, 3, driver)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    before = results_in(tmp_path)
    assert 3 <= len(before) < TRAINED_COUNT
    out = finish(*TRAINED, results=tmp_path)
    after = results_in(tmp_path)
    assert before.items() <= after.items()  # not even rewritten
    assert len(after) == TRAINED_COUNT
    assert count_of(out, "run now") == TRAINED_COUNT - len(before)


def test_a_terminated_driver_says_how_to_go_on(tmp_path: Path) -> None:
    driver = drive(*TRAINED, results=tmp_path)
    wait_for(tmp_path, 1, driver)
    driver.terminate()  # what a scheduler sends; SIGINT is ignored by what a shell runs in the background
    out, _ = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert "STOPPED: interrupted; the same command goes on from here" in out
    assert len(results_in(tmp_path)) < TRAINED_COUNT


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_interrupts_in_a_row_end_in_one_line(tmp_path: Path, seconds: float) -> None:
    driver = drive(*TRAINED, results=tmp_path, errors=True)
    wait_for(tmp_path, 1, driver)
    for _ in range(3):
        if driver.poll() is None:
            driver.send_signal(signal.SIGINT)
        time.sleep(seconds)
    out, err = driver.communicate(timeout=60)
    assert "Traceback" not in err
    assert driver.returncode in (1, 130)
    assert ("STOPPED: interrupted" in out) or err.splitlines()[-1] == "interrupted; results that were finished are kept"


class Crowded(InProcess):
    """Takes more trials than it runs at a time, as Ray does."""

    def has_room(self) -> bool:
        return len(self.waiting) < 3


def test_the_bar_counts_what_runs_and_not_what_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choice = Choice(pair=("digits/vgg_small",), methods=("random",), densities=(0.5, 0.4, 0.3, 0.2))
    run(FIGURES["synflow-2"].trials(choice), Store(tmp_path), Crowded(Source(), "cpu"), bar=True)
    shown = capsys.readouterr().err
    assert "1 running, 0 failed" in shown
    assert "2 running" not in shown


def test_damaged_results_are_run_again_and_no_others(tmp_path: Path) -> None:
    part = [*SMALL, "--log10-compressions", "1", "2"]
    finish(*part, results=tmp_path)
    before = results_in(tmp_path)
    half, garbage, *rest = sorted(before)
    whole = (tmp_path / f"{half}.json").read_bytes()
    (tmp_path / f"{half}.json").write_bytes(whole[: len(whole) // 2])
    (tmp_path / f"{garbage}.json").write_bytes(b"\x00\xff")
    assert count_of(finish(*part, results=tmp_path), "run now") == 2
    after = results_in(tmp_path)
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in rest)
    assert len(re.findall("is damaged and will be run again", (tmp_path / "log.txt").read_text())) == 2


def test_two_drivers_share_a_folder(tmp_path: Path) -> None:
    drivers = [drive(*TRAINED, results=tmp_path) for _ in range(2)]
    outs = [driver.communicate(timeout=400)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0]
    assert len(results_in(tmp_path)) == TRAINED_COUNT
    assert sorted(ended(tmp_path)) == sorted(results_in(tmp_path))  # each ran once
    assert sum(count_of(out, "run now") for out in outs) == TRAINED_COUNT


def test_a_trial_that_fails_is_listed_with_its_error_and_the_others_run(tmp_path: Path) -> None:
    part = [*SMALL, "--log10-compressions", "1", "--examples", "1000"]  # more than there are of a class
    out = finish(*part, results=tmp_path, status=1)
    assert (count_of(out, "run now"), count_of(out, "failed")) == (2, 1)
    assert re.search(
        r"FAILED \w{16} masks, digits/vgg_small, snip, density 0.1, seed 0\n +ValueError: examples_per", out
    )
    assert "Traceback" in (tmp_path / "log.txt").read_text()
    assert len(results_in(tmp_path)) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(place)], capture_output=True
    ).returncode == 0  # fmt: skip
    if not mounted:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_the_run_and_the_next_one_completes(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(16 * 1024))
    part = [*SMALL, "--log10-compressions", "0.5", "1", "1.5", "2", "2.5", "3"]
    out = finish(*part, results=small_disk, status=1)
    assert "No space left on device" in out
    assert "STOPPED" in out
    before = results_in(small_disk)  # all of them whole
    assert len(before) < 18
    assert not list(small_disk.glob(".*.part"))
    (small_disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    finish(*part, results=small_disk)
    assert before.items() <= results_in(small_disk).items()
    assert len(results_in(small_disk)) == 18
