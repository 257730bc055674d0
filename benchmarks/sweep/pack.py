"""Move single results into files of many results, which suit a repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.sweep.lines import record_in
from benchmarks.sweep.store import Store
from benchmarks.sweep.trial import Trial, trial_of
from benchmarks.sweep.whole import read_regular, sync_folder


@dataclass
class Folded:
    """The outcome for the single files.

    Attributes:
        counts: how many went into each file.
        damaged: names of files without a result of their own, which stay.
        claimed: those of trials that another process is running; they stay too.
    """

    counts: dict[str, int] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """One line per file, and one for the results that stay single."""
        lines = [f"{name:<22}{count:>7}" for name, count in sorted(self.counts.items())]
        lines.append(f"{'packed':<22}{sum(self.counts.values()):>7}")
        lines += [f"{name} holds no result of the trial in its name, and stays" for name in self.damaged]
        lines += [f"{name} is of a trial that another process runs, and stays" for name in self.claimed]
        return "\n".join(lines)


def pack(store: Store, file_of: Callable[[Trial], str]) -> Folded:
    """Move each single result into the file that has its trial already, else into ``file_of(trial)`` ``.jsonl``.

    A new file of many results is written next to the old one and then renamed. Single files are removed only when it
    is on the disk. An interrupt therefore loses nothing, and readers find every result at all times.
    """
    folded = Folded()
    moved: dict[Path, dict[Trial, bytes]] = {}
    try:
        with store.packing():
            for path in sorted(store.folder.glob("*.json")):
                trial = _trial_in(path)
                if trial is None:
                    folded.damaged.append(path.name)
                elif not store.claim(trial):
                    folded.claimed.append(path.name)
                elif (record := store.read(trial)) is not None:  # once more, now that nobody else writes it
                    home = next(iter(store.lines.holding(trial.name)), store.folder / f"{file_of(trial)}.jsonl")
                    moved.setdefault(home, {})[trial] = json.dumps(record, sort_keys=True).encode()
            for home, lines in moved.items():
                store.lines.write(home, {trial.name: line for trial, line in lines.items()})
                sync_folder(store.folder)
                for trial in lines:
                    store.path(trial).unlink(missing_ok=True)
                folded.counts[home.name] = len(lines)
    finally:
        store.close()
    return folded


def _trial_in(path: Path) -> Trial | None:
    """The trial of a file that holds a complete result."""
    record = record_in(read_regular(path) or b"")
    try:
        trial = trial_of(record["settings"]) if record is not None else None
    except (KeyError, TypeError, ValueError):  # settings of another version
        return None
    return trial if trial is not None and trial.name == path.stem else None
