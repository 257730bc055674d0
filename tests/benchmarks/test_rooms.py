"""The rooms of the benchmarks: imports go one way, a file says one thing, and a class has a name of its own."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from benchmarks.origin import ROOT

#: from the bottom to the top; a room may import from itself and from those before it
ROOMS = (
    "arguments",
    "interrupts",
    "origin",
    "training",
    "sweep",
    "figures",
    "fidelity",
    "speed",
    "faults",
    "survey",
    "demo",
    "__main__",
)
#: that stand side by side: no one of them knows another
TOP = ("fidelity", "speed", "faults", "survey", "demo", "__main__")
FILES = sorted((ROOT / "benchmarks").rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "benchmarks").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The rooms that a file imports from, within functions too."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    return {module.split(".")[1] for module in modules if module.startswith("benchmarks.")}


def test_every_file_is_in_a_room() -> None:
    assert {room_of(path) for path in FILES} == {*ROOMS, "__init__"}


def test_imports_go_one_way() -> None:
    upward = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in FILES
        if (room := room_of(path)) in ROOMS
        for other in imported(path)
        if ROOMS.index(other) > ROOMS.index(room) or ({room, other} < {*TOP} and room != other)
    ]  # fmt: skip
    assert upward == []
    assert "sweep" in imported(ROOT / "benchmarks" / "__main__.py")


def test_no_file_is_longer_than_250_lines() -> None:
    files = [*FILES, *(ROOT / "tests" / "benchmarks").rglob("*.py")]
    assert {path.name: lines for path in files if (lines := path.read_text().count("\n")) > 250} == {}


def test_no_two_classes_have_one_name() -> None:
    names = Counter(
        node.name for path in FILES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)
    )
    assert len(names) > 15
    assert [name for name, count in names.items() if count > 1] == []
