"""Numbers on the pages: each that looks measured is read from a file of results, cites its source, or is listed here.

A number looks measured if it has a unit or decimals, is a share (``two of three``), or counts what comes out: layers,
weights, trials and the like (``COUNTED``). What goes in is not measured, and stands in the command or the signature:
iterations, epochs, seeds, classes, sizes of images, defaults. Neither are sizes of examples, which the page runs, nor
code, formulas and literals. Only the sentence that names a section, an appendix or a footnote is exempt.

``numbers_on_pages.txt`` lists the others, a line each: page, the number as it stands there, and where it comes from.
``results`` is an expression of ``:measured:``, and ``computed`` one of Python with a format, in which ``of`` finds a
name of the package; both must give the numbers of the text. The other kinds name a paper, a setting or a command.
"""

from __future__ import annotations

import json
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("sklearn")
pytest.importorskip("torchvision")
import numbers_of_results

from tests.docs.prose import PAGES, PROSE, name_of, sentences

LISTED = Path(__file__).with_name("numbers_on_pages.txt")
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
WHOLE = rf"(?:\d+(?:,\d{{3}})*|{'|'.join(WORDS)})"
#: what comes out of an experiment
COUNTED = (
    "(?:layers|weights|parameters|elements|channels|models|networks|trials|results|rows|panels|lines|files|tests|bytes"
    "|densities)"
)
#: a number with a unit, a number with decimals, a power of ten with two of them, a share, a count, or a
#: cell of a table
NUMBER = re.compile(
    r"(?<![\w.^`=-])(?:\d+(?:,\d{3})*(?:\.\d+)?(?: (?:to|and|or) \d+(?:,\d{3})*(?:\.\d+)?)? ?"
    r"(?:%|percent|times|(?:bare )?passes|points?\b|seconds?\b|s\b|ms\b|minutes?\b|hours?\b|[GM]i?B\b)"
    rf"|{WHOLE} of (?:(?:the|these|those|its|[\w-]+'s) )?{WHOLE}(?: \w+)?\b"
    rf"|{WHOLE}(?: (?:to|and|or) {WHOLE})? (?:[a-z-]+ )?{COUNTED}\b"
    r"|1/\d+(?:\.\d+)?|\d+\.\d+(?!\.?\d))"
    r"|10\^\d\.\d\d|(?<=:sup:`)\d\.\d\d(?=`)|(?<=^- )\d+$",
    re.I,
)
CITED = re.compile(r"section \d|appendix|appendices|footnote", re.I)
#: numbers that are names
PLACE = re.compile(
    r"(?:theorem|figure|table|algorithm|equation)s? \d+\w?(?:(?:,| and| to) \d+\w?)*|et al\. \d{4}|https?://\S+", re.I
)
#: of sources in the list: those of results and computed ones are checked
KINDS = ("results", "computed", "paper", "setting", "command")


def unsourced(path: Path) -> list[tuple[str, str]]:
    """Numbers that look measured, in sentences that name no source, each with its sentence."""
    return [
        (found.group(), sentence)
        for sentence in sentences(path)
        if not CITED.search(sentence)
        for found in NUMBER.finditer(PLACE.sub(" ", sentence))
    ]


def listed() -> dict[tuple[str, str], str]:
    """Page and number: the source."""
    rows = [line.split(" | ") for line in LISTED.read_text().splitlines() if line and not line.startswith("#")]
    return {(page, number): source for page, number, source in rows}


def load(file: str) -> Any:
    """A JSON file of results."""
    return json.loads((numbers_of_results.RESULTS / f"{file}.json").read_text())


def computed(expression: str) -> str:
    """The text of a number that is computed, from results or from names of the package."""
    body, _, form = expression.rpartition("; ")
    names = {"of": pkgutil.resolve_name, "load": load, "values": numbers_of_results.values, "findall": re.findall}
    return format(eval(body, names), form)


SHOWN = {"results": numbers_of_results.shown, "computed": computed}


def numerals(text: str) -> set[str]:
    """The numbers of a text, in digits."""
    found = re.findall(rf"\d+(?:,\d{{3}})*(?:\.\d+)?|\b(?:{'|'.join(WORDS)})\b", text.lower())
    return {str(WORDS.index(n) + 1) if n in WORDS else n.replace(",", "") for n in found}


@pytest.mark.parametrize("path", PROSE, ids=name_of)
def test_every_number_that_looks_measured_has_a_source(path: Path) -> None:
    known = listed()
    without = [f"{n!r} in: {sentence}" for n, sentence in unsourced(path) if (name_of(path), n) not in known]
    assert not without, f"read these from a file by :measured:, cite a section, or list them in {LISTED.name}"


@pytest.mark.parametrize(("page", "number"), listed())
def test_a_listed_number_is_that_of_its_source(page: str, number: str) -> None:
    kind, _, expressions = listed()[page, number].partition(": ")
    assert kind in KINDS
    if kind in SHOWN:
        assert {SHOWN[kind](expression) for expression in expressions.split(" & ")} == numerals(number)


def test_each_listed_number_is_on_its_page() -> None:
    found = {(name_of(path), number) for path in PROSE for number, _ in unsourced(path)}
    assert sorted(set(listed()) - found) == []


def test_what_pages_read_from_files_is_there() -> None:
    pages = [path for path in PAGES if path.suffix == ".rst"]
    expressions = [text for path in pages for text in re.findall(r":measured:`([^`]+)`", path.read_text())]
    assert len(expressions) > 20
    for expression in expressions:
        assert numbers_of_results.shown(expression)


def test_what_counts_as_a_number_and_as_a_source(tmp_path: Path) -> None:
    page = tmp_path / "page.rst"
    page.write_text(
        "Title\n=====\n\nIt is 1.5 times as fast, 3 % smaller.\n\n"
        "* 12 % (Tanaka et al. 2020, section 4). Figure 6 has 13 %.\n* 7 s here\n\n"
        ".. code-block:: sh\n\n   run --rate 0.1\n\n``0.25`` and :measured:`speed; x; .2f` and torch 2.2, 3 epochs.\n"
        "Collapses at 10\\ :sup:`2.31`. Empties 22 of ResNet's 54 layers, or five to seven empty layers.\n\n"
        "1,724 trials. Two of three seeds agree.\n\n.. list-table::\n\n   * - 2\n     - SNIP\n     - 83\n"
    )
    assert [number for number, _ in unsourced(page)] == [
        "1.5 times", "3 %", "13 %", "7 s", "2.31", "22 of ResNet's 54 layers", "five to seven empty layers",
        "1,724 trials", "Two of three seeds", "83",
    ]  # fmt: skip


def test_numbers_of_docstrings_and_of_scripts_count_but_not_of_their_code(tmp_path: Path) -> None:
    page = tmp_path / "page.py"
    page.write_text(
        'def f():\n    """Saves 12 %.\n\n    >>> f()\n    0.5\n    """\n    return 0.7  # 9 %\n\n'
        "\n# %%\n# It has 28 layers.\n"
    )
    assert [number for number, _ in unsourced(page)] == ["12 %", "28 layers"]


def test_numbers_of_sentences_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"rows": [{"name": "x", "n": 1.25}, {"name": "x", "n": 1.75}, {"name": "y", "n": 9}]}'
    )
    assert numbers_of_results.shown("a name=x; n; .2f", tmp_path) == "1.50"
    assert numbers_of_results.shown("a name=y; n minus a name=x; n; +.2f", tmp_path) == "+7.50"
    assert numbers_of_results.shown("a name=y; n over a name=x; n; .0f", tmp_path) == "6"
    (tmp_path / "trials_of_x").mkdir()
    (tmp_path / "trials_of_x" / "sweep.jsonl").write_text(
        '{"settings": {"dataset": "d", "network": "n", "recipe": {"epochs": 2}}, "result": {"accuracy": 7.25, '
        '"layers": [["a.weight", 3, 10], ["b.weight", 5, 10]]}}\n'
    )
    assert numbers_of_results.shown("trials_of_x pair=d/n epochs=2; accuracy; .2f", tmp_path) == "7.25"
    assert numbers_of_results.shown("trials_of_x pair=d/n; kept of b.weight; .0f", tmp_path) == "5"
    with pytest.raises(ValueError, match=r"no row of benchmarks/results/a has name=z"):
        numbers_of_results.shown("a name=z; n; .2f", tmp_path)
    with pytest.raises(ValueError, match="expected FILE key=value"):
        numbers_of_results.shown("a", tmp_path)


def test_lines_that_begin_with_a_role_are_read_and_options_are_not(tmp_path: Path) -> None:
    page = tmp_path / "page.rst"
    page.write_text(":doc:`theory` names\n:term:`mask` and 12 layers.\n\n.. figure:: picture.png\n   :width: 50 %\n")
    assert [number for number, _ in unsourced(page)] == ["12 layers"]
