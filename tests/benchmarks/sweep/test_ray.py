"""Drivers on Ray: killed, or with killed workers, they lose nothing and leave no process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("ray")

from tests.benchmarks.sweep.drivers import (
    TRAINED,
    TRAINED_COUNT,
    count_of,
    drive,
    ended,
    finish,
    results_in,
    wait_for,
)


def children(pid: int) -> dict[int, str]:
    """All processes below one, with their command lines."""
    parents, names = {}, {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                names[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                parents[int(path.name)] = int(fields[1])
            except OSError:  # it has ended
                continue
    found: dict[int, str] = {}
    level = {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found |= {child: names[child] for child in level}
    return found


def wait_for_worker(pid: int) -> int:
    """A worker of Ray that runs a trial."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        for child, name in children(pid).items():
            if name.startswith("ray::perform"):
                return child
        time.sleep(0.02)
    raise AssertionError("no worker of Ray began a trial")


RAY = [*TRAINED, "--executor", "ray", "--workers", "2"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers through /proc")
def test_a_killed_worker_of_ray_is_replaced(tmp_path: Path) -> None:
    driver = drive(*RAY, results=tmp_path)
    for _ in range(2):
        os.kill(wait_for_worker(driver.pid), signal.SIGKILL)
        time.sleep(1)
    out, _ = driver.communicate(timeout=580)
    assert driver.returncode == 0, out
    assert len(results_in(tmp_path)) == TRAINED_COUNT
    assert sorted(ended(tmp_path)) == sorted(results_in(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_a_killed_driver_of_ray_loses_nothing_and_leaves_no_process(tmp_path: Path) -> None:
    driver = drive(*RAY, results=tmp_path)
    wait_for(tmp_path, 2, driver)
    below = children(driver.pid)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    before = results_in(tmp_path)
    end = time.monotonic() + 90
    while any(Path(f"/proc/{pid}").exists() for pid in below) and time.monotonic() < end:
        time.sleep(0.5)
    assert [name for pid, name in below.items() if Path(f"/proc/{pid}").exists()] == []
    out = finish(*TRAINED, results=tmp_path)  # in this process: the results are the same
    assert count_of(out, "there before") == len(before)
    assert before.items() <= results_in(tmp_path).items()
    assert len(results_in(tmp_path)) == TRAINED_COUNT


@pytest.mark.slow
def test_a_terminated_driver_of_ray_ends_with_the_summary(tmp_path: Path) -> None:
    driver = drive(*RAY, results=tmp_path)
    wait_for(tmp_path, 1, driver)
    driver.terminate()  # for which Ray has a handler of its own, that exits at once
    out, _ = driver.communicate(timeout=120)
    assert driver.returncode == 1
    assert "STOPPED: interrupted; the same command goes on from here" in out
    assert 1 <= len(results_in(tmp_path)) < TRAINED_COUNT


@pytest.mark.slow
def test_a_second_interrupt_while_ray_is_stopped_ends_in_one_line(tmp_path: Path) -> None:
    driver = drive(*RAY, results=tmp_path, errors=True)
    wait_for(tmp_path, 1, driver)
    for _ in range(5):
        driver.send_signal(signal.SIGINT)
        time.sleep(0.1)
    out, err = driver.communicate(timeout=120)
    assert "Traceback" not in err
    assert driver.returncode in (1, 130)
    assert ("STOPPED: interrupted" in out) or err.splitlines()[-1] == "interrupted; results that were finished are kept"
