"""The papers' statements compared with our results: ``python -m benchmarks.fidelity --data cifar10=PATH``.

Prints the paper's value, ours and the difference, and writes them to JSON. Trials with a result do not run again, and
rows that are not selected stay in the file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.arguments import positive
from benchmarks.fidelity.row import HEADER, Row, line
from benchmarks.fidelity.rows import rows
from benchmarks.origin import RESULTS, origin
from benchmarks.sweep.executors import InProcess
from benchmarks.sweep.run import run
from benchmarks.sweep.store import Record, Store
from benchmarks.sweep.trial import Trial
from benchmarks.sweep.where import source_of
from benchmarks.training.datasets import Source, prepare


def parser() -> argparse.ArgumentParser:
    """All options; those not given are absent."""
    whole = argparse.ArgumentParser(
        prog="python -m benchmarks.fidelity", description=__doc__, argument_default=argparse.SUPPRESS
    )
    add = whole.add_argument
    add("--rows", nargs="+", metavar="NAME", help="names of rows, or their first parts: neurons, neurons/synflow")
    add("--list", action="store_true", help="print the names")
    add("--seeds", type=positive(int), default=1, help="number of seeds for the mean (default 1)")
    add("--data", nargs="+", metavar="NAME=PATH", help="a folder or archive with train/<class>/ and test/<class>/")
    add("--cache", type=Path, help="folder of decoded data")
    add("--download", action="store_true", help="download missing data")
    add("--device", default="cpu", help="cpu (default), cuda, ...")
    add("--threads", type=positive(int), help="torch threads")
    add("--results", type=Path, default=RESULTS / "trials", help="folder of trials (default benchmarks/results/trials)")
    add("--out", type=Path, default=RESULTS / "fidelity.json", help="default benchmarks/results/fidelity.json")
    return whole


def chosen(names: Sequence[str] | None) -> list[Row]:
    """The rows that names or the first parts of names stand for, in the order of the table."""
    every = rows()
    for name in names or ():
        if not any(_under(row, name) for row in every):
            firsts = ", ".join(dict.fromkeys(row.split("/")[0] for row in every))
            raise ValueError(f"--rows {name}: expected a name that --list shows, or the start of one ({firsts})")
    return [row for name, row in every.items() if names is None or any(_under(name, some) for some in names)]


def _under(name: str, start: str) -> bool:
    return f"{name}/".startswith(f"{start.rstrip('/')}/")


def missing(wanted: Sequence[Row], seeds: int, store: Store) -> list[Trial]:
    """Trials without a result, or whose result is from before something was counted that a row needs."""
    found: dict[Trial, None] = {}
    for row in wanted:
        for trial in (trial for of_seed in row.of_seeds(seeds) for trial in of_seed):
            record = store.read(trial)
            if record is not None and row.needs <= record["result"].keys():
                continue
            if record is not None:
                store.discard(trial)
            found[trial] = None
    return list(found)


def without_data(trials: Sequence[Trial], source: Source) -> dict[str, str]:
    """The data sets of trials that are not there, each with the sentence that says so."""
    names = sorted({trial.dataset for trial in trials if trial.reads_images})
    return {name: sentence for name in names if (sentence := _absence(name, source))}


def _absence(name: str, source: Source) -> str | None:
    try:
        prepare(name, source)
    except FileNotFoundError as error:
        return str(error)
    return None


def report(row: Row, seeds: int, store: Store, absent: dict[str, str]) -> dict[str, Any] | str:
    """The outcome of a row, or why there is none."""
    of_seeds = row.of_seeds(seeds)
    records: list[list[Record]] = []
    for trials in of_seeds:
        found = [store.read(trial) for trial in trials]
        for trial, record in zip(trials, found, strict=True):
            if record is None:
                no_data = absent.get(trial.dataset) if trial.reads_images else None
                return no_data or f"no result of {trial}"
        records.append([record for record in found if record is not None])
    outcome = row.outcome([[record["result"] for record in of_seed] for of_seed in records])
    data = {record["origin"]["data"] for of_seed in records for record in of_seed} - {None}
    return {**outcome, "trials": [t.name for trials in of_seeds for t in trials], "data": sorted(data)}


def merged(path: Path, outcomes: Sequence[dict[str, Any]], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the file with new ones in their places; rows that no longer exist are dropped."""
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    every = {row["name"]: row for row in before} | {row["name"]: {**row, **settings} for row in outcomes}
    return [every[name] for name in rows() if name in every]


def compare(wanted: Sequence[Row], given: dict[str, Any], typed: Sequence[str]) -> int:
    """Run what has no result, print the table, write it; returns the exit status: 1 if a row is missing."""
    store, seeds = Store(given["results"]), given["seeds"]
    source = source_of(given, [trial for row in wanted for trial in row.trials])
    trials = missing(wanted, seeds, store)
    absent = without_data(trials, source)
    ready = [trial for trial in trials if not (trial.reads_images and trial.dataset in absent)]
    if ready:
        executor = InProcess(source, given["device"], given.get("threads"))
        summary = run(ready, store, executor, bar=sys.stderr.isatty())
        print(summary, flush=True)
        if summary.stopped:
            return 1
    print(HEADER)
    outcomes, without = [], 0
    for row in wanted:
        found = report(row, seeds, store, absent)
        if isinstance(found, str):
            without += 1
            print(f"{row.name:<38}{row.paper:>12}  not run: {found}", flush=True)
        else:
            outcomes.append(found)
            print(line(found), flush=True)
    bounded = [outcome for outcome in outcomes if outcome["met"] is not None]
    print(f"{sum(o['met'] for o in bounded)} of {len(bounded)} bounds met; {without} rows not run")
    settings = origin("python -m benchmarks.fidelity", typed, given["device"])
    given["out"].parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rows": merged(given["out"], outcomes, settings)}, indent=1)
    given["out"].write_text(text + "\n")
    return 1 if without else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; errors of the user are one sentence."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    given = vars(parser().parse_args(typed))
    try:
        wanted = chosen(given.get("rows"))
        if "list" in given:
            print("\n".join(f"{row.name:<38}{row.what} ({row.source})" for row in wanted))
            return 0
        if "threads" in given:
            torch.set_num_threads(given["threads"])
        return compare(wanted, given, typed)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
