"""``.. internals::``: a drawing of the rooms of the package, and the tree of its files with what each one says it is.

Both are made from the files. A file that does not say what it is, or an import that would make an arrow point upward,
fails the build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import rooms
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

ROOT = rooms.PACKAGE.name
WIDTH, BOX, ROW = 840, (166, 46), 88
PASSING = 0.2  # the room of an arrow between boxes, over that of a box


def layout(found: set[tuple[str, str]]) -> tuple[list[list[str]], list[list[str]]]:
    """The rooms row by row, each row from left to right, and the arrows that no longer way implies.

    An arrow is the list of places that it goes through. In rows that it crosses it has a place of its own, which is
    named like no room, so that it passes between the boxes.
    """
    try:
        ordered = rooms.rows(found)
    except rooms.UpwardImportError as error:
        raise ExtensionError(f"the rooms of {ROOT}: {error}") from error
    level = {name: number for number, row in enumerate(ordered) for name in row}
    ways = []
    for upper, lower in sorted(rooms.shortest(found)):
        crossed = range(level[upper] + 1, level[lower])
        ways.append([upper, *(f"{upper} to {lower} in {number}" for number in crossed), lower])
        for number, name in zip(crossed, ways[-1][1:], strict=False):
            ordered[number].append(name)
    places: dict[str, float] = {}
    for row in ordered:
        above = {name: [places[way[way.index(name) - 1]] for way in ways if name in way[1:]] for name in row}
        row.sort(key=lambda name: sum(above[name]) / max(len(above[name]), 1))
        places |= {name: (index + 0.5) / len(row) for index, name in enumerate(row)}
    return ordered, ways


def drawing(ordered: Sequence[Sequence[str]], ways: Sequence[Sequence[str]], files: Mapping[str, Path]) -> str:
    """A box for each room, with the folders in it, and the arrows, all of which point down."""
    places = {}
    for number, row in enumerate(ordered):
        wide = [1 if name in files else PASSING for name in row]
        for index, name in enumerate(row):
            places[name] = (WIDTH * (sum(wide[:index]) + wide[index] / 2) / sum(wide), 40 + number * ROW)
    parts = [f'<path d="{_curve([places[name] for name in way])}"/>' for way in ways]
    room = rooms.rooms_of(files, rooms.imports(files))
    for name in sorted(set(places) & set(files)):
        x, y = places[name]
        folders = [other for other in files if files[other].stem == "__init__" and room[other] == name != other]
        inside = ", ".join(label(folder, files).removeprefix(label(name, files)) for folder in folders)
        corner = f'x="{x - BOX[0] / 2:.0f}" y="{y - BOX[1] / 2:.0f}"'
        parts.append(f'<rect {corner} width="{BOX[0]}" height="{BOX[1]}" rx="5"/>')
        parts.append(f'<text x="{x:.0f}" y="{y + (-3 if inside else 5):.0f}">{escape(label(name, files))}</text>')
        if inside:
            parts.append(f'<text class="inside" x="{x:.0f}" y="{y + 14:.0f}">{escape(inside)}</text>')
    height = 80 + (len(ordered) - 1) * ROW
    title = f"The rooms of {ROOT} from top to bottom, and which imports from which"
    return (
        f'<div class="rooms"><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}"><defs>'
        '<marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z"/></marker></defs>{"".join(parts)}</svg></div>'
    )


def _curve(places: Sequence[tuple[float, float]]) -> str:
    """From the lower edge of the first box to the upper edge of the last one, upright at each place between."""
    (x, y), half = places[0], BOX[1] / 2
    text = f"M{x:.0f} {y + half:.0f}"
    for u, v in places[1:]:
        start, stop = y + half, v - half - 4
        middle = (start + stop) / 2
        text += f" V{start:.0f} C{x:.0f} {middle:.0f} {u:.0f} {middle:.0f} {u:.0f} {stop:.0f}"
        x, y = u, v
    return text


def label(name: str, files: Mapping[str, Path]) -> str:
    """A module by its path in the package: ``loop.py``, ``flow/engine/``."""
    return ("/".join(name.split(".")[1:]) or name) + _ending(files[name])


def _ending(path: Path) -> str:
    return "/" if path.stem == "__init__" else ".py"


def tree(files: Mapping[str, Path], ordered: Sequence[Sequence[str]]) -> list[str]:
    """A list of all files in reStructuredText, nested by folder, the rooms in the order of the drawing."""
    first = rooms.first_lines(files)
    silent = sorted(name for name, line in first.items() if not line)
    if silent:
        raise ExtensionError(f"files whose docstring does not say what they are: {', '.join(silent)}")
    position = {name: index for index, name in enumerate(name for row in ordered for name in row)}
    lines = []

    def add(name: str, depth: int) -> None:
        there = name.rpartition(".")[2] + _ending(files[name])
        lines.extend([f"{'  ' * depth}* ``{there}``: {first[name]}", ""])
        inside = [other for other in first if other.rpartition(".")[0] == name]
        for other in sorted(inside, key=lambda other: (position.get(other, 0), other)):
            add(other, depth + 1)

    add(next(iter(first)), 0)
    return lines


def folded(lines: Sequence[str]) -> list[str]:
    """The list with a dropdown for each room that has files, below the line of the package itself."""
    shown: list[str] = []
    for line in filter(None, lines):
        depth, item = (len(line) - len(line.lstrip())) // 2, line.strip()
        if depth > 1:
            if shown[-2].startswith("* "):
                shown[-2:] = [f".. dropdown:: {shown[-2].removeprefix('* ')}", ""]
            shown += [f"{' ' * 3}{'  ' * (depth - 2)}{item}", ""]
        elif depth == 1:
            shown += [item, ""]
    return shown


class Internals(SphinxDirective):
    """The drawing, then the tree of files."""

    def run(self) -> list[nodes.Node]:
        """Read, order, draw."""
        files = rooms.sources()
        for path in files.values():
            self.env.note_dependency(str(path))
        ordered, ways = layout(rooms.arrows(files))
        picture = nodes.raw("", drawing(ordered, ways, files), format="html")
        return [picture, *self.parse_text_to_nodes("\n".join(folded(tree(files, ordered))))]


def setup(app: Any) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("internals", Internals)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
