"""Kills of running sweeps: ``python -m benchmarks.faults.kills --trials 100 --seed 1``.

A driver, or a command that packs its results, is killed or told to end at a random moment. Afterwards every result that
had been finished is there as it was, every file is whole, the folder can be used at once, and the sweep goes on where
it was, with the results of a sweep that nobody disturbed. ``--only SEED`` repeats a trial in an empty folder.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.faults.report import Finding, command
from benchmarks.figures import FIGURES
from benchmarks.origin import ROOT
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.store import Record, Store

FIGURE = "synflow-2"
CHOICE = Choice(pair=("digits/vgg_small",), methods=("random", "magnitude", "snip"))
ARGUMENTS = ["--pair", *(CHOICE.pair or ()), "--methods", *(CHOICE.methods or ())]
#: how a process is ended, and how that is shown
ENDS = {
    signal.SIGKILL: "killed (SIGKILL)", signal.SIGTERM: "told to end (SIGTERM)", signal.SIGINT: "Ctrl-C (SIGINT)",
}  # fmt: skip
SECONDS = 240  # after which a process that should have ended is taken to hang


def commanded(*arguments: str, results: Path) -> subprocess.Popen[bytes]:
    """Start the command line of the benchmarks in a new process."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *arguments, "--results", str(results)], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def driver(results: Path) -> subprocess.Popen[bytes]:
    """Start a driver of the sweep."""
    return commanded("run", FIGURE, *ARGUMENTS, "--device", "cpu", "--threads", "1", results=results)


def records_in(folder: Path) -> dict[str, Record]:
    """The results in a folder, as a new process finds them."""
    return Store(folder).records(FIGURES[FIGURE].trials(CHOICE))


@cache
def undisturbed() -> tuple[dict[str, Any], float, float]:
    """The results of an undisturbed sweep, and the seconds until its first result and until its end."""
    with tempfile.TemporaryDirectory() as folder:
        start, first = time.perf_counter(), 0.0
        process = driver(Path(folder))
        while process.poll() is None:
            if not first and any(Path(folder).glob("*.json")):
                first = time.perf_counter() - start
            time.sleep(0.01)
        if process.returncode:
            raise RuntimeError(f"the undisturbed sweep ended with {process.returncode}")
        seconds = time.perf_counter() - start
        return {name: record["result"] for name, record in records_in(Path(folder)).items()}, first, seconds


class Sweep:
    """A folder whose sweep is interrupted repeatedly, and restarted in a new one when it completes."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> Sweep:
        """Enter the context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder."""
        self.folder.cleanup()

    @property
    def path(self) -> Path:
        """The path of the folder."""
        return Path(self.folder.name)

    def trial(self, seed: int) -> Finding:
        """Kill a process of the sweep once, and check the results."""
        draw = random.Random(f"kill {seed}")
        number, packs = draw.choice(list(ENDS)), draw.random() < 0.2
        finding = Finding(seed, f"{'pack' if packs else 'driver'} {ENDS[number]}", "")
        expected, first, whole = undisturbed()
        share = draw.random()
        before = records_in(self.path)
        process = commanded("pack", results=self.path) if packs and before else driver(self.path)
        start = time.perf_counter()
        until = share * first if packs else 0.8 * first + share * (whole - 0.8 * first)
        while process.poll() is None and time.perf_counter() - start < until:
            before = {**before, **records_in(self.path)}
            time.sleep(0.02)
        finding.reached = process.poll() is None
        if finding.reached:
            process.send_signal(number)
        finding.what = f"after {until:.2f} s with {len(before)} of {len(expected)} results"
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            finding.violations.append(f"it still ran {SECONDS} s later")
        finding.violations += self.lost(before, expected)
        if len(records_in(self.path)) == len(expected):
            self.folder.cleanup()
            self.folder = tempfile.TemporaryDirectory()
        return finding

    def lost(self, before: dict[str, Record], expected: dict[str, Any]) -> list[str]:
        """The violations that were found."""
        store, after = Store(self.path), records_in(self.path)
        found = [f"{name} is lost" for name in before if name not in after]
        found += [f"{name} has changed" for name in before if name in after and after[name] != before[name]]
        found += [
            f"{name} has another result than without a disturbance"
            for name, record in after.items()
            if record["result"] != expected[name]
        ]
        found += [f"{place} damaged" for place in store.lines.damaged()]
        trials = FIGURES[FIGURE].trials(CHOICE)
        found += [f"{trial.name}.json damaged" for trial in trials if store.is_damaged(trial)]
        if not all(store.claim(trial) for trial in trials):
            found.append("a claim has outlived its process")
        store.close()
        return found


def in_turn(seeds: Sequence[int]) -> Iterator[Finding]:
    """Run the trials of all seeds, on one sweep after another."""
    with Sweep() as sweep:
        yield from map(sweep.trial, seeds)


def alone(seed: int) -> Finding:
    """Run a trial in a new folder."""
    with Sweep() as sweep:
        return sweep.trial(seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    return command("kills", __doc__ or "", alone, arguments, in_turn)


if __name__ == "__main__":
    sys.exit(main())
