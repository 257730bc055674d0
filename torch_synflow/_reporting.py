"""What all reports share: a verdict, a table and notes, printed, in a notebook, as plain values and as a picture."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from torch_synflow._drawing import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Table = tuple[Sequence[str], Sequence[Sequence[str]]]


class Report:
    """A dataclass (``repr=False``) of findings about a model; its verdict, table, notes and drawing are its own."""

    @property
    def verdict(self) -> str:
        """The finding in one line."""
        raise NotImplementedError

    def _table(self) -> Table:
        """A header and rows, none for a report without a table."""
        return (), ()

    def _notes(self) -> Sequence[str]:
        """Lines below the table."""
        return ()

    def _draw(self, ax: Axes) -> None:
        raise NotImplementedError

    def __str__(self) -> str:
        """The verdict, the table and the notes."""
        header, rows = self._table()
        return "\n".join([self.verdict, *([table(header, rows)] if rows else ()), *self._notes()])

    __repr__ = __str__  # what an interactive session shows

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        header, rows = self._table()
        lines = [_row("th", header), *(_row("td", row) for row in rows)] if rows else []
        shown = f"<table>{''.join(lines)}</table>" if lines else ""
        return "".join([_paragraph(self.verdict), shown, *map(_paragraph, self._notes())])

    def to_dict(self) -> dict[str, Any]:
        """All attributes as numbers, strings, lists, dictionaries and ``None``, ready for JSON.

        Returns:
            The attributes by name, computed ones such as ``verdict`` included. A number that is not finite is ``None``.
        """
        return {name: _plain(value) for name, value in _attributes(self)}

    def draw(self, ax: Axes | None = None) -> Axes:
        """Draw the report with matplotlib. The title is the verdict unless the axes have a title already.

        Args:
            ax: matplotlib axes; new ones by default.

        Returns:
            The axes.

        Raises:
            ImportError: if no axes are given and matplotlib is not installed.
        """
        ax = axes(ax)
        self._draw(ax)
        if not ax.get_title():
            ax.set_title(self.verdict, fontsize="small", wrap=True)
        return ax


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format rows in columns. The first and the last column are left-aligned, all others right-aligned.

    Example:
        >>> rows = [["conv.weight", "3", ""], ["fc.weight", "10", "empty"]]
        >>> print(table(["layer", "kept", ""], rows))
        layer        kept
        conv.weight     3
        fc.weight      10  empty
    """
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    aligned = []
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
        aligned.append("  ".join([*cells, line[-1] if not header[-1] else line[-1].rjust(widths[-1])]).rstrip())
    return "\n".join(aligned)


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell.strip())}</{tag}>' for cell in cells)}</tr>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _attributes(found: Any) -> list[tuple[str, Any]]:
    """The public fields and properties of a dataclass."""
    names = [field.name for field in dataclasses.fields(found)]
    properties = [name for name, value in vars(type(found)).items() if isinstance(value, property)]
    return [(name, getattr(found, name)) for name in (*names, *properties) if not name.startswith("_")]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {name: _plain(part) for name, part in _attributes(value)}
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
