"""Numbers on the pages: each that looks measured is read from a file of results, cites its source, or is listed here.

``numbers_on_pages.txt`` lists the others, a line each: page, the number as it stands there, and where it comes from,
which is a paper's section, a setting of a command, or an expression of ``:measured:`` that gives the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
import numbers_of_results

from benchmarks.origin import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.rst"))]
LISTED = Path(__file__).with_name("numbers_on_pages.txt")
#: a number with a unit, a number with decimals, or a power of ten with two of them
NUMBER = re.compile(
    r"(?<![\w.^`=-])(?:\d[\d,]*(?:\.\d+)?(?: (?:to|and|or) \d[\d,]*(?:\.\d+)?)? ?"
    r"(?:%|percent|times|(?:bare )?passes|points?\b|seconds?\b|s\b|ms\b|minutes?\b|hours?\b|[GM]i?B\b)"
    r"|1/\d+(?:\.\d+)?|\d+\.\d+)"
    r"|10\^\d\.\d\d|(?<=:sup:`)\d\.\d\d(?=`)"
)
CITED = re.compile(
    r"et al\.|section \d|appendix|appendices|figures? \d|tables? \d|theorem \d|footnote|python -m benchmarks|\.json\b",
    re.I,
)
#: of sources in the list: those of results are checked
KINDS = ("results", "paper", "setting", "command", "counted")
VERSION = re.compile(
    r"(torch|Python|torchvision|version|Ray) \(?\d+\.\d+(\.\d+)?(?: (or|and|to) \d+\.\d+(\.\d+)?)?|arXiv:\S+"
)


def paragraphs(path: Path) -> Iterator[str]:
    """The prose of a page: without code, literals, roles, formulas and directives, a paragraph or bullet at a time."""
    text = path.read_text()
    if path.suffix == ".md":
        text = re.sub(r"```.*?```", "", text, flags=re.S)
        text = re.sub(r"^\|[ -|]*$", "", text, flags=re.M)
    lines, kept, skip = text.splitlines(), [], None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if skip is not None and line.strip() and indent <= skip:
            skip = None
        if skip is None and re.match(r"\s*\.\. (code-block|math|testcode|raw|image|toctree|measured|plot)::", line):
            skip = indent
        if skip is None:
            kept.append("" if re.match(r"\s*(:\w[\w-]*:|\.\. )", line) else line)
            if line.rstrip().endswith("::") and not line.lstrip().startswith(".."):
                skip = indent
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:\* |- |\| ))", "\n".join(kept)):
        block = re.sub(
            r"``[^`]*``|(?<!`)`[^`\n]+`(?!_)(?<!:sup:`)" if path.suffix == ".md" else r"``[^`]*``", " ", block
        )
        block = re.sub(r":(?!sup:)[\w:]+:`[^`]*`", " ", block)
        yield VERSION.sub(" ", " ".join(block.split()))


def unsourced(path: Path) -> list[tuple[str, str]]:
    """Numbers that look measured, in paragraphs that name no source, each with its paragraph."""
    return [
        (found.group(), paragraph)
        for paragraph in paragraphs(path)
        if not CITED.search(paragraph)
        for found in NUMBER.finditer(paragraph)
    ]


def listed() -> dict[tuple[str, str], str]:
    """Page and number: the source."""
    rows = [line.split(" | ") for line in LISTED.read_text().splitlines() if line and not line.startswith("#")]
    return {(page, number): source for page, number, source in rows}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_number_that_looks_measured_has_a_source(path: Path) -> None:
    known = listed()
    without = [f"{n!r} in: {paragraph}" for n, paragraph in unsourced(path) if (path.name, n) not in known]
    assert not without, f"read these from a file by :measured:, cite a section, or list them in {LISTED.name}"


def test_listed_numbers_of_results_are_those_of_the_files() -> None:
    for (page, number), source in listed().items():
        kind, _, expressions = source.partition(": ")
        assert kind in KINDS, f"{page}: {number}: {source}"
        for expression in expressions.split(" & ") if kind == "results" else ():
            assert numbers_of_results.shown(expression) in number, f"{page}: {number}: {expression}"


def test_what_pages_read_from_files_is_there() -> None:
    expressions = [text for path in PAGES for text in re.findall(r":measured:`([^`]+)`", path.read_text())]
    assert len(expressions) > 20
    for expression in expressions:
        assert numbers_of_results.shown(expression)


def test_what_counts_as_a_number_and_as_a_source(tmp_path: Path) -> None:
    page = tmp_path / "page.rst"
    page.write_text(
        "Title\n=====\n\nIt is 1.5 times as fast, 3 % smaller.\n\n"
        "* 12 % (Tanaka et al. 2020, section 4)\n* 7 s here\n\n"
        ".. code-block:: sh\n\n   run --rate 0.1\n\n``0.25`` and :measured:`speed; x; .2f` and torch 2.2, 3 layers.\n"
        "Collapses at 10\\ :sup:`2.31`.\n"
    )
    assert [number for number, _ in unsourced(page)] == ["1.5 times", "3 %", "7 s", "2.31"]


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
