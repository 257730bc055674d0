"""The package as a house: rooms that import one way, files that say one thing, names that are there once."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest
import rooms

import torch_synflow
from torch_synflow import prune

ROOT = Path(__file__).parent.parent
LONGEST = 250
FOLDERS = ("torch_synflow", "benchmarks", "docs", "tests", "tutorials")
#: made when the documentation is built
MADE = ("docs/_build", "docs/gallery", "docs/tutorials")

#: The rooms from top to bottom. A module belongs to the longest name that it begins with, and imports from its own room
#: and from lower rows; rooms of one row know nothing of each other.
ROWS = (
    ("torch_synflow", "lightning"),
    ("prune", "rewinding", "diagnostics"),
    ("diagnostics.theorems",),
    ("diagnostics.neurons", "diagnostics.paths"),
    ("ablations", "loop"),
    ("parallel", "reachability"),
    ("methods",),
    ("compact",),
    ("flow",),
    ("flow.blame", "flow.positive"),
    ("flow.passes",),
    ("flow.engine", "parallel.ranks"),
    ("budget", "scoring"),
    ("model",),
    ("report", "schedules", "selection", "flow.surrogate"),
    ("_reporting",),
    ("_drawing", "_progress", "_torch", "_version", "_warnings"),
)
LEVELS = {room: level for level, row in enumerate(ROWS) for room in row}


def room_of(module: str) -> str:
    """The room of ``ROWS`` that a module belongs to."""
    parts = module.split(".")[1:] or ["torch_synflow"]
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    room = next((name for name in names if name in LEVELS), None)
    assert room, f"{module} is in no room: add {parts[0]!r} to ROWS in tests/test_package.py, below all that import it"
    return room


def upward(imported: Mapping[str, set[str]]) -> list[str]:
    """The imports between rooms that do not lead to a lower row."""
    rooms_of = {module: room_of(module) for module in imported}
    return [
        f"{module} ({rooms_of[module]}) imports {other} ({rooms_of[other]})"
        for module, others in imported.items()
        for other in sorted(others)
        if rooms_of[module] != rooms_of[other] and LEVELS[rooms_of[module]] >= LEVELS[rooms_of[other]]
    ]


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    return rooms.imports(rooms.sources())


def test_no_import_leads_upward_or_sideways_to_another_room(imported: dict[str, set[str]]) -> None:
    assert sum(map(len, imported.values())) > 100
    assert upward(imported) == []


def test_every_room_has_modules(imported: dict[str, set[str]]) -> None:
    assert set(map(room_of, imported)) == set(LEVELS), "a room of ROWS in tests/test_package.py is empty: remove it"


def test_no_imports_of_modules_make_a_circle(imported: dict[str, set[str]]) -> None:
    assert rooms.circle((module, other) for module, others in imported.items() for other in others) == []


@pytest.mark.parametrize("room", ["selection", "flow.surrogate"])
def test_a_room_that_knows_torch_alone(room: str, imported: dict[str, set[str]]) -> None:
    known = {room_of(other) for module, others in imported.items() if room_of(module) == room for other in others}
    assert known <= {room, "_torch"}


def test_an_upward_import_a_new_room_and_a_circle_are_found() -> None:
    model, loop = "torch_synflow.model.masks", "torch_synflow.loop"
    assert upward({loop: {model}, model: set()}) == []
    assert upward({loop: set(), model: {loop}}) == [f"{model} (model) imports {loop} (loop)"]
    assert upward({"torch_synflow.budget.counts": {"torch_synflow.scoring.task"}, "torch_synflow.scoring.task": set()})
    assert rooms.circle([("a", "b"), ("b", "c"), ("c", "b")]) == ["b", "c", "b"]
    with pytest.raises(AssertionError, match=r"torch_synflow\.attic\.box is in no room: add 'attic' to ROWS"):
        room_of("torch_synflow.attic.box")


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_is_long(folder: str) -> None:
    files = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / folder).rglob("*.py")}
    lengths = {
        name: path.read_text().count("\n")
        for name, path in files.items()
        if not any(name.startswith(f"{other}/") for other in MADE)
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def named(tree: ast.Module) -> Iterator[str]:
    """The classes that a file defines, in functions too, and the names of types that it assigns at its top level."""
    yield from (node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for name in (target.id for target in targets if isinstance(target, ast.Name)):
            if re.fullmatch(r"_?[A-Z]+[a-z]\w*", name):
                yield name


def twice(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """The names of classes and types that several files define, or one file several times."""
    places = defaultdict(list)
    for file, text in sources.items():
        for name in named(ast.parse(text)):
            places[name].append(file)
    return {name: files for name, files in places.items() if len(files) > 1}


def test_no_two_classes_or_types_share_a_name() -> None:
    assert twice({name: path.read_text() for name, path in rooms.sources().items()}) == {}


def test_a_shared_name_is_found() -> None:
    layer, alias = "class Layer: ...", "Layer = Callable[[int], int]\nLIMIT = 3"
    assert twice({"one": layer, "two": "def f():\n    class Layer: ..."}) == {"Layer": ["one", "two"]}
    assert twice({"one": layer, "two": alias}) == {"Layer": ["one", "two"]}
    assert twice({"one": alias, "two": "Layer: TypeAlias = int\nLIMIT = 4"}) == {"Layer": ["one", "two"]}


PUBLIC = [torch_synflow, *filter(inspect.ismodule, map(vars(torch_synflow).get, torch_synflow.__all__))]
PUBLIC.remove(prune)  # it answers every name of torch's, private ones too
PRIVATE = [
    name
    for name, path in rooms.sources().items()
    if path.stem == "__init__" and not hasattr(importlib.import_module(name), "__all__")
]


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_tab_completion_lists_what_is_public(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dir(module) == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
    monkeypatch.setattr(module, "attic", ModuleType("attic"), raising=False)  # as an import of a new module does
    assert "attic" not in dir(module)


@pytest.mark.parametrize("name", PRIVATE)
def test_a_package_without_public_names_is_importable_but_does_not_show(name: str) -> None:
    around, _, last = name.rpartition(".")
    parent = importlib.import_module(around)
    assert getattr(parent, last) is importlib.import_module(name)
    assert last not in dir(parent)


def test_authors_of_methods_find_what_they_need() -> None:
    assert {"Network", "Scores", "Task"} <= set(dir(torch_synflow.scoring))
    assert "torch_synflow.selection" in PRIVATE
    assert {"torch_synflow.flow.engine", "torch_synflow.diagnostics.paths"} <= set(PRIVATE)
