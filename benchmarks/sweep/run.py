"""Run the trials that have no result yet; a finished result is never lost, whichever process is killed."""

from __future__ import annotations

import errno
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from benchmarks.sweep.executors import Executor, Outcome
from benchmarks.sweep.schema import fault_in
from benchmarks.sweep.store import Store
from benchmarks.sweep.trial import Trial

log = logging.getLogger("benchmarks")
NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


@dataclass
class Summary:
    """The outcome of the trials.

    Attributes:
        there: had a result before.
        done: ran now.
        elsewhere: were finished meanwhile by another driver on the same folder.
        failed: with their errors.
        stopped: why not all were tried.
        seconds: in all.
    """

    there: int = 0
    done: int = 0
    elsewhere: int = 0
    failed: list[tuple[Trial, str]] = field(default_factory=list)
    stopped: str | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        """A table, and the failed trials with their errors."""
        rows = [
            ("there before", self.there), ("run now", self.done), ("run by another driver", self.elsewhere),
            ("failed", len(self.failed)),
        ]  # fmt: skip
        lines = [f"{name:<22}{count:>7}" for name, count in rows if count or name == "run now"]
        lines.append(f"{'seconds':<22}{self.seconds:>7.0f}")
        lines += [f"FAILED {trial.name} {trial}\n       {error}" for trial, error in self.failed]
        if self.stopped:
            lines.append(f"STOPPED: {self.stopped}")
        return "\n".join(lines)


def run(trials: Sequence[Trial], store: Store, executor: Executor, *, bar: bool = True) -> Summary:
    """Run what has no result, in the order given, and write each result as soon as it is there.

    A trial that another driver on the same folder is running is left to the end, and run here only if that driver
    then has not finished it.
    """
    start, summary = time.perf_counter(), Summary()
    store.clean()
    for place in store.lines.damaged():
        log.warning("%s is damaged: the trial that it held will be run again when it is asked for", place)
    pending: deque[Trial] = deque()
    for trial in trials:
        if store.read(trial) is not None:
            summary.there += 1
            continue
        if store.is_damaged(trial):
            log.warning("%s is damaged and will be run again: %s", store.path(trial).name, trial)
        pending.append(trial)
    log.info("%d trials: %d there, %d to run", len(trials), summary.there, len(pending))
    elsewhere: deque[Trial] = deque()
    running = 0
    with tqdm(total=len(trials), initial=summary.there, unit="trial", smoothing=0.1, disable=not bar) as progress:

        def show() -> None:
            at_work = min(running, executor.slots)
            progress.set_postfix_str(f"{at_work} running, {len(summary.failed)} failed, {len(elsewhere)} elsewhere")

        def start_or_leave(trial: Trial, wait: bool) -> bool:
            """Claim and submit; ``False`` if nothing was submitted."""
            if not store.claim(trial, wait=wait):
                elsewhere.append(trial)
                return False
            if store.read(trial) is not None:  # finished by another driver since this one looked
                store.release(trial)
                summary.elsewhere += 1
                progress.update()
                return False
            log.info("start  %s %s", trial.name, trial)
            executor.submit(trial)
            return True

        try:
            while (pending or elsewhere or running) and not (summary.stopped and not running):
                while pending and executor.has_room() and not summary.stopped:
                    running += start_or_leave(pending.popleft(), wait=False)
                    show()
                if not running and not pending and elsewhere and not summary.stopped:
                    running += start_or_leave(elsewhere.popleft(), wait=True)
                if running:
                    trial, outcome = executor.next()
                    running -= 1
                    _record(trial, outcome, store, summary)
                    store.release(trial)
                    progress.update()
                show()
        except KeyboardInterrupt:
            summary.stopped = "interrupted; the same command goes on from here"
        finally:
            executor.close()
            store.close()
    if summary.stopped:
        log.error("stopped: %s", summary.stopped)
    summary.seconds = time.perf_counter() - start
    log.info("end: %d run, %d failed, %.0f s", summary.done, len(summary.failed), summary.seconds)
    return summary


def run_search(
    proposed: Callable[[], Sequence[Trial]],
    store: Store,
    executor: Executor,
    again: Callable[[], Executor],
    *,
    bar: bool,
) -> Summary:
    """Run trials that are proposed from the results that are there, round by round, until none is or one fails.

    Args:
        proposed: the trials to run next.
        store: of all results.
        executor: of the first round.
        again: makes the executor of each other round.
        bar: whether to show how far it is.
    """
    whole = run(proposed(), store, executor, bar=bar)
    while not (whole.failed or whole.stopped) and (trials := proposed()):
        found = run(trials, store, again(), bar=bar)
        whole.done, whole.elsewhere = whole.done + found.done, whole.elsewhere + found.elsewhere
        whole.failed, whole.stopped, whole.seconds = found.failed, found.stopped, whole.seconds + found.seconds
    return whole


def _record(trial: Trial, outcome: Outcome, store: Store, summary: Summary) -> None:
    """Write a result, or note an error."""
    if "error" in outcome:
        summary.failed.append((trial, outcome["error"]))
        log.error("failed %s %s: %s", trial.name, trial, outcome.get("traceback", outcome["error"]))
        return
    fault = fault_in({"settings": trial.settings, **outcome})
    if fault is not None:
        summary.failed.append((trial, f"the result cannot be plotted and was discarded: {fault}"))
        log.error("failed %s %s: the result cannot be plotted: %s", trial.name, trial, fault)
        return
    try:
        store.write(trial, outcome)
    except OSError as error:
        summary.failed.append((trial, f"the result could not be written: {error}"))
        log.error("failed %s %s: the result could not be written: %s", trial.name, trial, error)
        if error.errno in NO_PLACE:
            summary.stopped = f"{store.folder}: {error.strerror}; make room or choose --results, and run again"
        return
    summary.done += 1
    result, seconds = outcome["result"], outcome["origin"]["seconds"]["all"]
    shown = {key: result[key] for key in ("accuracy", "kept", "critical_log10_compression") if key in result}
    log.info("done   %s %s: %s, %.1f s", trial.name, trial, shown, seconds)
