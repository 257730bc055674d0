"""``.. internals::``: the files of the package, and a drawing of which called which while a network was pruned.

The arrows are traced, not written down: a small network is pruned while the page is built. A file that is in no group,
or a box of the drawing that nothing calls any more, fails the build.
"""

from __future__ import annotations

import ast
import sys
from html import escape
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from torch import nn

import torch_synflow
from torch_synflow import prune

PACKAGE = Path(torch_synflow.__file__).parent
GROUPS = {
    "What users import": ("__init__", "prune", "schedules", "report", "ablations", "rewinding", "densities"),
    "The loop and the transaction": (
        "iterative", "parameters", "amounts", "allocation", "selection", "reader", "ranking", "radix", "attach",
        "transaction", "pruned", "snapshots",
    ),
    "Methods and scores": (
        "saliency", "scores", "binding", "methods", "scoring", "gradients", "data", "task", "inversion",
    ),
    "The flow engine": (
        "network", "flow", "mode", "names", "readings", "products", "attention", "recurrent", "call", "trace", "depth",
        "tape", "replay", "flow_scores", "layers", "positions", "runs", "diagnosis",
    ),
    "Diagnostics": ("diagnostics",),
}  # fmt: skip
# The drawing, row by row. Helpers that all rows use are in the table only.
ROWS = (
    ("iterative",),
    ("parameters", "schedules", "transaction", "methods.synflow", "selection", "attach", "report"),
    ("scoring", "network"),
    ("flow", "replay"),
    ("mode", "tape", "layers", "positions"),
    ("names", "readings"),
)
WIDTH, BOX, ROW = 980, (122, 34), 84


def modules() -> dict[str, str]:
    """Each file and folder of the package, and the first line of its docstring."""
    found = {}
    for path in sorted(PACKAGE.iterdir()):
        file = path / "__init__.py" if path.is_dir() else path
        if file.suffix == ".py" and file.exists():
            text = ast.get_docstring(ast.parse(file.read_text())) or ""
            found[path.stem] = text.splitlines()[0] if text else ""
    return found


def calls() -> set[tuple[str, str]]:
    """Which file called which while a small network was pruned by SynFlow."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    params = prune.prunable_parameters(model, example_inputs=torch.ones(1, 3, 8, 8))
    found = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        callee = _module(frame)
        if event != "call" or callee is None:
            return
        caller = frame.f_back
        while caller is not None and _module(caller) is None:
            caller = caller.f_back
        if caller is not None and _module(caller) != callee:
            found.add((_module(caller) or "", callee))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        prune.global_iterative_unstructured(params, prune.SynFlow, 0.9, iterations=5)
    finally:
        sys.setprofile(before)
    return found


def _module(frame: FrameType) -> str | None:
    package, _, name = str(frame.f_globals.get("__name__", "")).partition(".")
    return name if package == "torch_synflow" else None


def check(found: set[tuple[str, str]]) -> None:
    """Raise if a file is in no group or in two, or a box of the drawing is not called."""
    grouped = [name for names in GROUPS.values() for name in names]
    there = set(modules())
    if set(grouped) != there or len(grouped) != len(set(grouped)):
        raise ExtensionError(f"docs/_ext/internals.py: GROUPS has not each file once: {set(grouped) ^ there}")
    called = {callee for _, callee in found}
    idle = [name for row in ROWS[1:] for name in row if name not in called]
    if idle:
        raise ExtensionError(f"docs/_ext/internals.py: drawn, but not called any more: {', '.join(idle)}")


def drawing(found: set[tuple[str, str]]) -> str:
    """The boxes of ``ROWS``, and an arrow for each call from one row to a lower one."""
    places, level = {}, {}
    for number, row in enumerate(ROWS):
        for index, name in enumerate(row):
            x = WIDTH * (index + 0.5) / len(row)
            places[name], level[name] = (x, 30 + number * ROW), number
    parts = []
    for caller, callee in sorted(found):
        if caller in places and callee in places and level[caller] < level[callee]:
            (x, y), (u, v) = places[caller], places[callee]
            y, v = y + BOX[1] / 2, v - BOX[1] / 2 - 4
            bend = (v - y) / 2
            parts.append(f'<path d="M{x:.0f} {y:.0f} C{x:.0f} {y + bend:.0f} {u:.0f} {v - bend:.0f} {u:.0f} {v:.0f}"/>')
    for name, (x, y) in places.items():
        parts.append(
            f'<rect x="{x - BOX[0] / 2:.0f}" y="{y - BOX[1] / 2:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="5"/>'
        )
        parts.append(f'<text x="{x:.0f}" y="{y + 5:.0f}">{escape(name)}</text>')
    height = 60 + (len(ROWS) - 1) * ROW
    label = "Which file of the package calls which while SynFlow prunes a network"
    return (
        f'<div class="calls"><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}"><defs>'
        '<marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z"/></marker></defs>{"".join(parts)}</svg></div>'
    )


class Internals(SphinxDirective):
    """The drawing, then a table of files for each group."""

    def run(self) -> list[nodes.Node]:
        """Trace, check, draw."""
        found = calls()
        check(found)
        for path in PACKAGE.rglob("*.py"):
            self.env.note_dependency(str(path))
        first = modules()
        lines = []
        for title, names in GROUPS.items():
            lines += [f".. list-table:: {title}", "   :widths: 20 80", ""]
            for name in names:
                lines += [f"   * - ``{name}``", f"     - {first[name]}"]
            lines.append("")
        return [nodes.raw("", drawing(found), format="html"), *self.parse_text_to_nodes("\n".join(lines))]


def setup(app: Any) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("internals", Internals)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
