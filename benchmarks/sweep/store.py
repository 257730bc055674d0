"""Results on disk: one small JSON file per trial or a line of a file of many, and claims that die with their process.

A sweep writes a file of its own for each trial, whole or not there; ``python -m benchmarks pack`` makes lines of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.sweep.lines import LineFiles, record_in
from benchmarks.sweep.trial import Trial
from benchmarks.sweep.whole import read_regular, write_whole

Record = dict[str, Any]
PACKING = 1 << 60  # the byte to lock, beyond those of all trials
ROOM = 1 << 13  # bytes, about what the result of a trial takes
ORPHAN = 3600  # seconds after which a file that was never finished belongs to nobody


class Store:
    """A folder of results. Several processes may use it at once.

    Args:
        folder: is made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.lines = folder, LineFiles(folder)
        self.locks: int | None = None

    def path(self, trial: Trial) -> Path:
        """Where the result of a trial is, or will be."""
        return self.folder / f"{trial.name}.json"

    def read(self, trial: Trial) -> Record | None:
        """The record of a trial; ``None`` if there is none, or none that is whole and of these settings.

        That in a file of its own counts before that in a file of many.
        """
        record = None
        with contextlib.suppress(FileNotFoundError):
            record = _record_of(trial, read_regular(self.path(trial)) or b"")
        return record or _record_of(trial, self.lines.line(trial.name))

    def is_damaged(self, trial: Trial) -> bool:
        """Whether there is a file, but no record in it."""
        return self.path(trial).exists() and self.read(trial) is None

    def check(self) -> None:
        """Raise an ``OSError`` unless results can be written and claimed here; leaves nothing but the folder."""
        probe = self.folder / f".probe-{os.getpid()}"
        write_whole(probe, bytes(ROOM))
        probe.unlink()
        with self.packing():
            pass

    def write(self, trial: Trial, record: Record) -> None:
        """Write a record so that a file with the name of the trial is always whole, whatever happens."""
        content = json.dumps({"settings": trial.settings, **record}, sort_keys=True) + "\n"
        write_whole(self.path(trial), content.encode())

    def discard(self, trial: Trial) -> None:
        """Remove the record of a trial, so that it is run again."""
        with self.packing():
            for path in self.lines.holding(trial.name):
                self.lines.write(path, {}, without=trial.name)
            self.path(trial).unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove what killed processes left unfinished long ago."""
        for path in self.folder.glob(".*.part"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > ORPHAN:
                    path.unlink()

    def claim(self, trial: Trial, *, wait: bool = False) -> bool:
        """Claim a trial for this process; ``False`` if another process has it.

        A claim is a lock on one byte of one file, at a place that follows from the trial's name. The system drops
        it when the process ends, however that ends.
        """
        try:
            fcntl.lockf(self._lock_file(), fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, _place(trial))
        except BlockingIOError:
            return False
        return True

    def release(self, trial: Trial) -> None:
        """Release the claim of a trial."""
        fcntl.lockf(self._lock_file(), fcntl.LOCK_UN, 1, _place(trial))

    @contextlib.contextmanager
    def packing(self) -> Iterator[None]:
        """Keep other processes from writing files of many results; waits for one that does."""
        fcntl.lockf(self._lock_file(), fcntl.LOCK_EX, 1, PACKING)
        try:
            yield
        finally:
            fcntl.lockf(self._lock_file(), fcntl.LOCK_UN, 1, PACKING)

    def _lock_file(self) -> int:
        if self.locks is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.locks = os.open(self.folder / ".locks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self.locks

    def close(self) -> None:
        """Release all claims."""
        if self.locks is not None:
            os.close(self.locks)
            self.locks = None

    def records(self, trials: Iterable[Trial]) -> dict[str, Record]:
        """The existing records, by the names of their trials."""
        found = {trial.name: self.read(trial) for trial in trials}
        return {name: record for name, record in found.items() if record is not None}


def _record_of(trial: Trial, content: bytes) -> Record | None:
    record = record_in(content)
    return record if record is not None and record["settings"] == trial.settings else None


def _place(trial: Trial) -> int:
    return int(trial.name[:15], 16)
