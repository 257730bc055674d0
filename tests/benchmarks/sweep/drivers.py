"""Real drivers in processes of their own, and what they leave in a folder of results."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from benchmarks.origin import ROOT

SMALL = ["synflow-2", "--pair", "digits/vgg_small", "--methods", "random", "magnitude", "snip"]
TRAINED = [
    "frankle-3", "--pair", "digits/vgg_small", "--seeds", "2", "--methods", "random", "magnitude", "--densities", "1",
    "0.5", "0.2", "--epochs", "3",
]  # fmt: skip
TRAINED_COUNT = 2 * (1 + 3 * 2)  # two seeds of: unpruned, and three lines at two densities


def command(*arguments: str, results: Path) -> list[str]:
    own = [] if "ray" in arguments else ["--threads", "1"]
    return [sys.executable, "-m", "benchmarks", "run", *arguments, "--results", str(results), "--device", "cpu", *own]


def finish(*arguments: str, results: Path, status: int = 0) -> str:
    done = subprocess.run(command(*arguments, results=results), cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def drive(*arguments: str, results: Path, errors: bool = False) -> subprocess.Popen[str]:
    """A driver in a process group of its own; what it writes to its standard error is kept where asked for.

    It does not ignore interrupts, as what a shell runs in the background does, and these tests with it.
    """
    return subprocess.Popen(
        command(*arguments, results=results),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        stderr=subprocess.PIPE if errors else None,
    )


def results_in(folder: Path) -> dict[str, int]:
    """The results that are there, whole, with the time of their last change."""
    found = {}
    for path in folder.glob("*.json"):
        assert isinstance(json.loads(path.read_text())["result"], dict)
        found[path.stem] = path.stat().st_mtime_ns
    return found


def wait_for(folder: Path, count: int, driver: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while len(list(folder.glob("*.json"))) < count:
        assert driver.poll() is None, "the driver ended early"
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(folder: Path) -> list[str]:
    """The trials that were run to their end, in the log, one entry each time."""
    return re.findall(r" done +(\w{16}) ", (folder / "log.txt").read_text())


def count_of(text: str, what: str) -> int:
    found = re.search(rf"^{what} +(\d+)$", text, re.M)
    return int(found[1]) if found else 0
