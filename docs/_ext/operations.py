"""``.. operations::``: the homogeneous surrogate of each operation, from the tables that the code uses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from torch_synflow.flow.surrogate import operations


def groups() -> list[tuple[str, list[str]]]:
    """For each surrogate what it does and the operations that have it."""
    by_surrogate: dict[Any, list[str]] = defaultdict(list)
    for name, surrogate in {**operations.SURROGATES, **operations.DECOMPOSED, **operations.NOISE}.items():
        by_surrogate[surrogate].append(name)
    found = [(_first_line(surrogate), names) for surrogate, names in by_surrogate.items()]
    found.append(("Unchanged, because it is already homogeneous.", sorted(operations.LINEAR)))
    found.append(("Unchanged, because it moves elements.", sorted(operations.SHAPE)))
    found.append(("Unchanged, because it moves some elements and drops others.", sorted(operations.SELECT)))
    return found


def _first_line(surrogate: Any) -> str:
    text = (surrogate.__doc__ or "").strip().splitlines()[0]
    return re.sub(r":func:`(\w+)`", r"``\1``", text)


class Operations(SphinxDirective):
    """A table of all operations with a surrogate."""

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        self.env.note_dependency(str(operations.__file__))
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 45 55", "", "   * - Surrogate"]
        lines.append("     - Operations by name of the function or method, including in-place forms")
        for meaning, names in groups():
            lines += [f"   * - {meaning}", f"     - {_listed(names)}"]
        return self.parse_text_to_nodes("\n".join(lines))


def _listed(names: Iterable[str]) -> str:
    return " ".join(f"``{name}``" for name in dict.fromkeys(names))


def setup(app: Any) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("operations", Operations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
