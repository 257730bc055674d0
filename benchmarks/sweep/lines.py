"""Results in JSON-lines files, one record per line: each file is read once, and again when it has changed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sweep.schema import fault_in
from benchmarks.sweep.trial import name_of
from benchmarks.sweep.whole import read_regular, write_whole

SETTLED = 2 * 10**9  # nanoseconds; a folder that changed later than that may change again within the same tick


@dataclass(frozen=True)
class Lines:
    """What one file holds.

    Attributes:
        stamp: changes when the file does.
        records: the lines, by the names of their trials; of several of one trial the last.
        damaged: lines that hold no record, by their numbers.
    """

    stamp: tuple[int, ...]
    records: dict[str, bytes]
    damaged: dict[int, bytes]


class LineFiles:
    """The JSON-lines files of a folder; of several that hold one trial, the first by name counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[Path, Lines] = {}
        self.paths: list[Path] = []
        self.changed = self.listed = 0

    def line(self, name: str) -> bytes:
        """The record of a trial as JSON; empty if there is none."""
        return next((lines.records[name] for lines in self.current().values() if name in lines.records), b"")

    def holding(self, name: str) -> list[Path]:
        """The files with a record of a trial."""
        return [path for path, lines in self.current().items() if name in lines.records]

    def damaged(self) -> list[str]:
        """The places of lines that hold no record."""
        return [f"{path.name}, line {n}," for path, lines in self.current().items() for n in lines.damaged]

    def current(self) -> dict[Path, Lines]:
        """All files as they are now, in the order of their names."""
        self.files = {path: lines for path in self._listed() if (lines := self._read(path)) is not None}
        return self.files

    def write(self, path: Path, new: dict[str, bytes], *, without: str | None = None) -> None:
        """Put records into a file, in place of those of the same trials; damaged lines stay, at its end."""
        before = self._read(path)
        records = {**before.records, **new} if before else new
        lines = [records[name] for name in sorted(records) if name != without]
        lines += before.damaged.values() if before else []
        write_whole(path, b"".join(line + b"\n" for line in lines))

    def _listed(self) -> list[Path]:
        """The paths, listed again only if the folder has changed: it may hold ten thousand results of other kinds."""
        try:
            changed = self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        if changed != self.changed or self.listed - changed < SETTLED:
            self.changed, self.listed = changed, time.time_ns()
            self.paths = sorted(self.folder.glob("*.jsonl"))
        return self.paths

    def _read(self, path: Path) -> Lines | None:
        try:
            found = path.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
            known = self.files.get(path)
            if known is not None and known.stamp == stamp:
                return known
            content = read_regular(path)
            return None if content is None else _parsed(content, stamp)
        except FileNotFoundError:
            return None


def _parsed(content: bytes, stamp: tuple[int, ...]) -> Lines:
    lines = Lines(stamp, {}, {})
    for number, line in enumerate(content.split(b"\n"), 1):
        record = record_in(line)
        if record is not None:
            lines.records[name_of(record["settings"])] = line
        elif line.strip():
            lines.damaged[number] = line
    return lines


def record_in(content: bytes) -> dict[str, Any] | None:
    """The record that is all of a file or a line; ``None`` if it is damaged, or lacks what is drawn of it."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):  # no JSON, or no text; nested without end
        return None
    return record if fault_in(record) is None else None
