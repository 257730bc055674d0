"""The command line: which trials, where they run, and what is drawn."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import interrupts
from benchmarks.figures import FIGURES, first_with
from benchmarks.figures.panels import Figure
from benchmarks.figures.picture import Reference, picture, table
from benchmarks.origin import RESULTS
from benchmarks.sweep import estimate
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.options import choice_of, parser
from benchmarks.sweep.pack import pack
from benchmarks.sweep.refusals import refuse_without_effect
from benchmarks.sweep.run import run, run_search
from benchmarks.sweep.store import Store
from benchmarks.sweep.where import at_a_time, device_of, executor_of, source_of
from benchmarks.training.datasets import prepare

COMPARED = (
    "synflow-1",
    "synflow-6",
    "synflow-7",
    "synflow-a",
    "synflow-b",
)  # with accuracies of the authors


def command_list() -> int:
    """Print the figures."""
    for figure in FIGURES.values():
        trials = figure.trials(Choice())
        pairs = ", ".join(figure.pairs) if len(figure.pairs) < 4 else f"{len(figure.pairs)} pairs"
        print(f"{figure.name:<12}{len(trials):>6} trials  {figure.what} ({pairs})")
    return 0


def command_run(figure: Figure, choice: Choice, given: dict[str, Any]) -> int:
    """Run the trials without a result; returns the exit status."""
    trials = figure.trials(choice)
    source = source_of(given, trials)
    start = executor_of(given, source)
    store = Store(given.get("results", RESULTS / "trials"))
    if "dry_run" in given:
        print(estimate.report(trials, store, device_of(given), *at_a_time(given)))
        return 0
    for dataset in sorted({t.dataset for t in trials if t.reads_images and store.read(t) is None}):
        prepare(dataset, source)  # once, before any worker asks for it
    try:
        store.check()
    except OSError as error:
        raise OSError(f"--results: expected a folder to write results to, got {store.folder}: {error}") from error
    executor = start()  # before the signal handler is set: Ray sets one that exits at once
    with _logging_to(store.folder / "log.txt"), interrupts.termination_as_interrupt():
        if figure.search is None:
            summary = run(trials, store, executor, bar=sys.stderr.isatty())
        else:
            panels, search = figure.chosen(choice), figure.search
            more = partial(search, panels)
            summary = run_search(lambda: more(store.records(trials)), store, executor, start, bar=sys.stderr.isatty())
    print(f"{figure.name}: {len(trials)} trials in {store.folder}\n{summary}")
    return 1 if summary.failed or summary.stopped else 0


def command_plot(figure: Figure, choice: Choice, given: dict[str, Any]) -> int:
    """Draw the existing results."""
    out = given.get("out", RESULTS / f"{figure.name}.png")
    if out.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"--out: expected a name that ends in .png, .svg or .pdf, got {out}")
    trials = figure.trials(choice)
    records = Store(given.get("results", RESULTS / "trials")).records(trials)
    if not records:
        raise ValueError(f"{figure.name}: none of its {len(trials)} trials has a result; run it with the same options")
    panels = figure.chosen(choice)
    reference = None
    if "reference" in given:
        reference = Reference(given["reference"])
        if figure.name not in COMPARED or not any(reference.has(panel.title) for panel in panels):
            raise ValueError(f"--reference: has no effect on {figure.name} with these pairs; leave it out")
    mixed = {(r["settings"]["dataset"], r["origin"]["data"]) for r in records.values() if r["origin"]["data"]}
    if len(mixed) > len({name for name, _ in mixed}):
        print(f"Warning: results of different data under one name: {sorted(mixed)}", file=sys.stderr)
    schedules = sorted({p.note["recipe"] for p in panels if "recipe" in p.note and p.lines})
    seeds = len({trial.seed for trial in trials if trial.name in records})
    runs = f"mean and {figure.band} of {seeds} seeds" if seeds > 1 else "one seed"
    authors = " Dashed: the authors' runs." if reference else ""
    caption = "\n".join([*schedules, f"{len(records)} of {len(trials)} trials; {runs}.{authors}"])
    picture(
        panels, records, figure.draw, title=figure.what[0].upper() + figure.what[1:], caption=caption,
        columns=figure.columns, path=out, reference=reference,
    )  # fmt: skip
    print(f"{figure.name}: {len(records)} of {len(trials)} trials drawn to {out}")
    if figure.name in COMPARED and (text := table(panels, records, reference)):
        print(text)
    if figure.text is not None:
        print(figure.text(panels, records))
    return 0


def command_pack(given: dict[str, Any]) -> int:
    """Fold single results into one file per figure; the exit status is 1 if some stay."""
    folder = given.get("results", RESULTS / "trials")
    if not folder.is_dir():
        raise ValueError(f"--results: expected a folder of results, got {folder}")
    folded = pack(Store(folder), first_with)
    print(folded)
    return 1 if folded.damaged or folded.claimed else 0


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.raiseExceptions = False  # a full disk must not stop the run through its log
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(message)s"))
    log = logging.getLogger("benchmarks")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors of the user are one sentence."""
    given = vars(parser(FIGURES).parse_args(arguments))
    if given["command"] == "list":
        return command_list()
    try:
        if given["command"] == "pack":
            return command_pack(given)
        figure = FIGURES[given["figure"]]
        choice = choice_of(given)
        refuse_without_effect(figure.name, figure.trials, choice, given)
        for key in ("margin", "budget"):
            if key in given and not any(key in panel.note for panel in figure.chosen(choice)):
                raise ValueError(f"--{key}: has no effect on {figure.name}; leave it out")
        return (command_run if given["command"] == "run" else command_plot)(figure, choice, given)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        interrupts.ignore()
        print("interrupted; results that were finished are kept", file=sys.stderr)
        return 130


if __name__ == "__main__":
    with interrupts.raising_dropped_ones():
        status = main()
        interrupts.ignore()
    sys.exit(status)
