"""How many more trials per hour several workers run: ``python -m benchmarks.speed.scaling``; needs Ray.

The same trials on handwritten digits, of one thread each, are run by as many workers of Ray as are asked for, in turns.
The time that Ray and its workers take to start is measured apart: until as many other trials have run as there are
workers.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from tqdm import tqdm

from benchmarks.arguments import positive
from benchmarks.origin import RESULTS, save
from benchmarks.sweep.executors import OnRay
from benchmarks.sweep.run import run
from benchmarks.sweep.store import Store
from benchmarks.sweep.trial import Trial
from benchmarks.training import recipes
from benchmarks.training.datasets import Source


class Timed(OnRay):
    """Ray, and the time at which it was told to stop."""

    ended = 0.0

    def close(self) -> None:
        """Note the time and stop."""
        self.ended = time.perf_counter()
        super().close()


def trials_of(count: int, epochs: int) -> list[Trial]:
    """Trials that differ in their seeds alone: half of the weights pruned by magnitude, then trained."""
    recipe = replace(recipes.synflow("digits", "vgg_small"), epochs=epochs, drops=())
    plain = Trial(
        measure="accuracy", dataset="digits", network="vgg_small", recipe=recipe, method="magnitude", density=0.5
    )
    return [replace(plain, seed=seed).canonical() for seed in range(count)]


def measure(workers: int, trials: list[Trial]) -> tuple[float, float]:
    """Seconds until all workers have run a trial, and those of all trials after that, results written."""
    start = time.perf_counter()
    executor = Timed(Source(), "cpu", workers=workers)
    for number in range(workers):
        executor.submit(replace(trials[0], seed=len(trials) + number))
    for _ in range(workers):
        _, outcome = executor.next()
        if "error" in outcome:
            raise SystemExit(f"scaling: expected a trial to run: {outcome['error']}")
    ready = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        summary = run(trials, Store(Path(folder)), executor, bar=False)
    if summary.failed or summary.stopped:
        raise SystemExit(f"scaling: expected all trials to run\n{summary}")
    return ready - start, executor.ended - ready


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.scaling", description=__doc__)
    parser.add_argument(
        "--workers", nargs="+", type=positive(int), default=[1, 2], help="numbers of workers (default 1 2)"
    )
    parser.add_argument("--trials", type=positive(int), default=32, help="trials per number of workers (default 32)")
    parser.add_argument("--epochs", type=positive(int), default=10, help="epochs per trial (default 10)")
    parser.add_argument("--runs", type=positive(int), default=3, help="number of runs for medians (default 3)")
    parser.add_argument("--out", type=Path, default=RESULTS / "scaling.json")
    options = parser.parse_args()
    trials = trials_of(options.trials, options.epochs)
    found: dict[int, list[tuple[float, float]]] = {workers: [] for workers in options.workers}
    for _ in tqdm(range(options.runs), "turns", unit="turn"):
        for workers, times in found.items():
            times.append(measure(workers, trials))
    rows: list[dict[str, Any]] = []
    alone = [seconds for _, seconds in found[options.workers[0]]]
    for workers, times in found.items():
        startup, seconds = (median(values) for values in zip(*times, strict=True))
        ratio = median(before / after for before, (_, after) in zip(alone, times, strict=True))
        hourly = 3600 * len(trials) / seconds
        rows.append(
            {"workers": workers, "startup_seconds": startup, "seconds": seconds, "trials_an_hour": hourly,
             "ratio": ratio}
        )  # fmt: skip
        print(
            f"{workers} worker{'s' if workers > 1 else ' '}: {hourly:8,.0f} trials per hour, {ratio:.2f} times those "
            f"of {options.workers[0]}; {startup:.1f} s to start",
            flush=True,
        )
    about = {"trial": str(trials[0]).rpartition(", seed")[0], "trials": len(trials), "runs": options.runs}
    machine = {"cpus": os.cpu_count(), "threads": 1}  # of a worker, which is where trials run
    save(options.out, {**machine, **about, "rows": rows}, parser.prog)


if __name__ == "__main__":
    main()
