"""The rooms of the package as its files show them: what each file is, what it imports, and the order that follows.

A room is a file or folder directly in ``torch_synflow/``. A folder further in is a room of its own if it imports
nothing from the files of the folder around it. The root's own ``__init__.py`` is the room above all others.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch_synflow

PACKAGE = Path(torch_synflow.__file__).parent


class UpwardImportError(Exception):
    """An import that makes a circle, so that no order of the rooms has all arrows pointing down."""


def sources(package: Path = PACKAGE) -> dict[str, Path]:
    """The file of each module, by the module's full name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if path.stem == "__init__" else parts)] = path
    return found


def first_lines(files: Mapping[str, Path]) -> dict[str, str]:
    """The first line of each module's docstring, empty where there is none."""
    texts = {name: ast.get_docstring(ast.parse(path.read_text())) for name, path in files.items()}
    return {name: (text or "").partition("\n")[0].strip() for name, text in texts.items()}


def imports(files: Mapping[str, Path]) -> dict[str, set[str]]:
    """The modules of the package that each module imports, including imports inside functions."""
    package = next(iter(files)).partition(".")[0]
    found = {}
    for name, path in files.items():
        here = name if path.stem == "__init__" else name.rpartition(".")[0]
        named = set().union(*(_imported(node, here) for node in ast.walk(ast.parse(path.read_text()))))
        found[name] = {_module(other, files) for other in named if other.partition(".")[0] == package} - {name}
    return found


def _imported(node: ast.AST, here: str) -> set[str]:
    """What an import statement in the package ``here`` names, in full."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        parents = here.split(".")[: len(here.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*parents, *filter(None, [node.module])])
        return {f"{base}.{alias.name}" for alias in node.names}
    return set()


def _module(name: str, files: Mapping[str, Path]) -> str:
    """The module that an imported name is, or is in."""
    while name not in files:
        name = name.rpartition(".")[0]
    return name


def rooms_of(files: Mapping[str, Path], imported: Mapping[str, set[str]]) -> dict[str, str]:
    """The room that each module is in."""
    found: dict[str, str] = {}
    for name, path in files.items():  # a folder comes before what is in it
        around = name.rpartition(".")[0]
        if name.count(".") > 1 and (path.stem != "__init__" or _leans_on(around, name, files, imported)):
            found[name] = found[around]
        else:
            found[name] = name
    return found


def _leans_on(around: str, folder: str, files: Mapping[str, Path], imported: Mapping[str, set[str]]) -> bool:
    """Whether a folder imports from the files of the folder around it."""
    beside = {name for name, path in files.items() if name.rpartition(".")[0] == around and path.stem != "__init__"}
    return any(imported[name] & {around, *beside} for name in files if f"{name}.".startswith(f"{folder}."))


def arrows(files: Mapping[str, Path]) -> set[tuple[str, str]]:
    """Which room imports from which."""
    imported = imports(files)
    room = rooms_of(files, imported)
    pairs = {(room[module], room[other]) for module, others in imported.items() for other in others}
    return {(upper, lower) for upper, lower in pairs if upper != lower}


def circle(found: Iterable[tuple[str, str]]) -> list[str]:
    """A way along arrows that comes back to where it began; empty if there is none."""
    below = defaultdict(list)
    for upper, lower in sorted(found):
        below[upper].append(lower)
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name not in done:
            for lower in below[name]:
                if back := walk(lower, [*way, name]):
                    return back
            done.add(name)
        return []

    return next((back for name in list(below) if (back := walk(name, []))), [])


def rows(found: set[tuple[str, str]]) -> list[list[str]]:
    """The rooms from top to bottom: each directly below the lowest of those that import it.

    Raises:
        UpwardImportError: if there is a circle, that is, wherever they were put an arrow would point upward.
    """
    if back := circle(found):
        raise UpwardImportError(f"an import points upward: {' imports '.join(back)}")
    level = dict.fromkeys((name for pair in sorted(found) for name in pair), 0)
    for _ in level:
        for upper, lower in found:
            level[lower] = max(level[lower], level[upper] + 1)
    return [[name for name in sorted(level) if level[name] == k] for k in range(max(level.values()) + 1)]


def shortest(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows that no longer way implies."""
    below = defaultdict(set)
    for upper, lower in found:
        below[upper].add(lower)

    def reached(name: str) -> set[str]:
        return set().union(*({lower} | reached(lower) for lower in below[name]))

    return {(a, b) for a, b in found if not any(b in reached(other) for other in below[a])}
