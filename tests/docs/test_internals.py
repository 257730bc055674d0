"""The page of internals shows every file and the order of the rooms, and its checks can fail."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import rooms

pytest.importorskip("sphinx")
import internals


def package(root: Path, texts: dict[str, str]) -> dict[str, Path]:
    """The files of a package of modules at these paths, each a docstring and then the text."""
    for name, text in texts.items():
        path = root / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in path.parents[: len(Path(name).parts)]:
            (folder / "__init__.py").write_text(f'"""The folder {folder.name}."""\n')
        path.write_text(f'"""The file {name}."""\n{text}\n')
    return rooms.sources(root / "house")


def heights(picture: str) -> dict[str, float]:
    """How far down each box of the drawing is, by what is written in it."""
    found = re.findall(r'<text x="\d+" y="(\d+)">([^<]+)</text>', picture)
    return {name: float(y) for y, name in found}


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    files = rooms.sources()
    ordered, ways = internals.layout(rooms.arrows(files))
    return {
        "files": files,
        "ways": ways,
        "tree": internals.tree(files, ordered),
        "picture": internals.drawing(ordered, ways, files),
    }


def test_no_box_covers_another_or_leaves_the_picture(shown: dict[str, Any]) -> None:
    rows: dict[str, list[int]] = {}
    for x, y in re.findall(r'<rect x="(-?\d+)" y="(\d+)"', shown["picture"]):
        rows.setdefault(y, []).append(int(x))
    assert max(map(len, rows.values())) > 2
    for lefts in map(sorted, rows.values()):
        assert min(lefts) >= 0
        assert lefts[-1] + internals.BOX[0] <= internals.WIDTH
        assert all(right - left > internals.BOX[0] for left, right in pairwise(lefts))


def test_the_tree_has_a_line_for_every_file_and_folder(shown: dict[str, Any]) -> None:
    listed = [re.match(r"( *)\* ``([\w/]+?)(?:/|\.py)``: \S", line) for line in shown["tree"] if line]
    assert all(listed)
    found, way = set(), []
    for match in filter(None, listed):
        way = [*way[: len(match[1]) // 2], match[2]]
        found.add("/".join(way))
    on_disk = {path.parent if path.stem == "__init__" else path.with_suffix("") for path in shown["files"].values()}
    assert found == {path.relative_to(rooms.PACKAGE.parent).as_posix() for path in on_disk}


def test_the_page_folds_the_files_of_a_room_below_its_line(shown: dict[str, Any]) -> None:
    lines = ["* ``house/``: H.", "", "  * ``loop.py``: L.", "", "  * ``flow/``: F.", "", "    * ``engine/``: E.", "",
             "      * ``tape.py``: T.", "", "    * ``mode.py``: M.", "", "  * ``report.py``: R.", ""]  # fmt: skip
    assert [line for line in internals.folded(lines) if line] == [
        "* ``loop.py``: L.",
        ".. dropdown:: ``flow/``: F.",
        "   * ``engine/``: E.",
        "     * ``tape.py``: T.",
        "   * ``mode.py``: M.",
        "* ``report.py``: R.",
    ]
    files = [line.strip() for line in shown["tree"][1:] if line]
    assert len([line for line in internals.folded(shown["tree"]) if line]) == len(files)


def test_every_room_has_a_box_and_every_arrow_points_down(shown: dict[str, Any]) -> None:
    boxes = heights(shown["picture"])
    assert {"torch_synflow/", "loop.py", "methods/", "flow/", "flow/engine/", "selection/"} <= set(boxes)
    assert len(shown["ways"]) == shown["picture"].count('<path d="M') - 1  # the head of arrows is one
    for way in shown["ways"]:
        upper, lower = (boxes[internals.label(name, shown["files"])] for name in (way[0], way[-1]))
        assert upper < lower
    drops = re.findall(r'<path d="M\d+ (\d+)[^"]* (\d+)"/>', shown["picture"].partition("</defs>")[2])
    assert len(drops) == len(shown["ways"])
    assert all(int(start) < int(stop) for start, stop in drops)


def test_a_file_that_does_not_say_what_it_is_is_found(tmp_path: Path) -> None:
    files = package(tmp_path, {"loop.py": "import house.model", "model.py": ""})
    ordered, _ = internals.layout(rooms.arrows(files))
    assert internals.tree(files, ordered)[-2] == "  * ``model.py``: The file model.py."
    files["house.model"].write_text("x = 1\n")
    with pytest.raises(internals.ExtensionError, match=r"does not say what they are: house\.model"):
        internals.tree(files, ordered)


def test_an_arrow_upward_is_found(tmp_path: Path) -> None:
    texts = {"loop.py": "from house.methods import snip", "methods/snip.py": "from .. import model", "model.py": ""}
    files = package(tmp_path, texts)
    assert internals.layout(rooms.arrows(files))[0][:2] == [["house.loop"], ["house.methods"]]
    files["house.model"].write_text("def late():\n    from house import loop\n")
    with pytest.raises(internals.ExtensionError, match=r"points upward: house\.loop imports house\.methods imports"):
        internals.layout(rooms.arrows(files))


def test_a_folder_is_a_room_unless_it_imports_from_the_folder_around_it(tmp_path: Path) -> None:
    files = package(tmp_path, {"flow/passes.py": "", "flow/engine/tape.py": ""})
    assert rooms.rooms_of(files, rooms.imports(files))["house.flow.engine.tape"] == "house.flow.engine"
    files["house.flow.engine.tape"].write_text("from house.flow.passes import record\n")
    assert rooms.rooms_of(files, rooms.imports(files))["house.flow.engine.tape"] == "house.flow"


def test_arrows_that_a_longer_way_implies_are_left_out() -> None:
    arrows = {("loop", "methods"), ("methods", "model"), ("loop", "model"), ("loop", "report")}
    assert rooms.shortest(arrows) == arrows - {("loop", "model")}
    assert rooms.rows(arrows) == [["loop"], ["methods", "report"], ["model"]]
