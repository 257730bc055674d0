"""The prose that readers of the site see: pages, the text of tutorials and of the gallery, and docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.origin import ROOT
from tests.docs.test_words import PAGES, docstrings

#: the pages, scripts that are pages, and docstrings, which are on the pages of the reference
PROSE = [
    *PAGES,
    *sorted(path for folder in ("tutorials", "examples", "torch_synflow") for path in (ROOT / folder).rglob("*.py")),
]
VERSION = re.compile(
    r"(torch|Python|torchvision|version|Ray) \(?\d+\.\d+(\.\d+)?(?: (or|and|to) \d+\.\d+(\.\d+)?)?|arXiv:\S+"
)
#: where a sentence ends
END = re.compile(r"(?<!al)(?<!cf)[.!?:;]\*{0,2} +(?=[^a-z\d(])")


def name_of(path: Path) -> str:
    """The page as ``numbers_on_pages.txt`` names it."""
    docs = ROOT / "docs"
    return path.name if not path.is_relative_to(ROOT) else str(path.relative_to(docs if docs in path.parents else ROOT))


def _texts(path: Path) -> Iterator[str]:
    """What a file shows: a page, the docstrings of code, and the blocks of comments of a script that is shown."""
    text = path.read_text()
    if path.suffix != ".py":
        yield text
        return
    shown = not path.is_relative_to(ROOT / "torch_synflow")
    yield from (docstring for name, docstring in docstrings(ast.parse(text)) if not name.startswith("_"))
    if shown:
        yield from (re.sub(r"^# ?", "", block, flags=re.M) for block in re.findall(r"^# %%\n((?:#.*\n)*)", text, re.M))


def _prose(text: str) -> str:
    """A text without directives that hold no prose, literal blocks and examples."""
    kept: list[str] = []
    skip = None
    for line in re.sub(r"^ *>>> .*\n(?: *\S.*\n?)*", "\n", text, flags=re.M).splitlines():
        indent = len(line) - len(line.lstrip())
        if skip is not None and line.strip() and indent <= skip:
            skip = None
        if skip is None and re.match(r"\s*\.\. (code-block|math|testcode|raw|image|toctree|measured|plot)::", line):
            skip = indent
        if skip is None:
            kept.append("" if re.match(r"\s*(:\w[\w-]*:(?!`)|\.\. )", line) else line)
            if line.rstrip().endswith("::") and not line.lstrip().startswith(".."):
                skip = indent
    return "\n".join(kept)


def sentences(path: Path) -> Iterator[str]:
    """The sentences of a page, without code, literals, roles and formulas."""
    for text in _texts(path):
        if path.suffix == ".md":
            text = re.sub(r"```.*?```|^\|[ -|]*$", "", text, flags=re.S | re.M)
            text = re.sub(r"(?<!`)`[^`\n]+`(?!_)(?<!:sup:`)", " ", text)
        for block in re.split(r"\n\s*\n|\n(?=\s*(?:\* |- |\| ))", _prose(text)):
            block = re.sub(r"``[^`]*``|:(?!sup:)[\w:]+:`[^`]*`", " ", block)
            yield from END.split(VERSION.sub(" ", " ".join(block.split())))
