"""The English of pages, docstrings and messages: patterns that are never right, and code that fits on a page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = {"_build", "gallery", "tutorials"}  # in docs, by the build
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(
        page for page in (ROOT / "docs").rglob("*.rst") if not GENERATED & {*page.relative_to(ROOT / "docs").parts}
    ),
    *sorted((ROOT / "examples").glob("*.rst")),
    *sorted((ROOT / "tutorials").glob("*.rst")),
]
FOLDERS = ("torch_synflow", "benchmarks", "docs/_ext", "examples", "tutorials")
SOURCES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
COUNTED = (
    r"(?:bytes|passes|images|examples|times|lines|files|records|rows|dots|seconds|results|trials|panels|"
    r"an? (?:byte|command|dot|file|line|package|pass|record|row|test)|one(?: (?!to\b|of\b|in\b|as\b|is\b)\w+)?)"
)
EACH = (
    r"(?:batch|channel|class|cycle|dot|element|entry|epoch|example|figure|file|image|iteration|kernel|layer|level|line|"
    r"method|module|network|neuron|output|page|parameter|pass|process|rank|ratio|record|row|run|seed|step|tensor|thing|"
    r"trial|weight|worker)"
)
#: a pattern, and what to write instead
WORDS = {
    r"\bcan not\b": "cannot",
    r"\banew\b": "again, or from scratch",
    rf"\b{COUNTED} an? {EACH}\b(?! of)": "per",
    r"\bof which there (?:are|is)\b": "there are",
    r"\b(?:zeros?|true|false|empty|chance) throughout\b": "all zero, all true",
    r"\bat hand\b": "available",
    r"\ball the same\b": "nevertheless",
    r"\bof one's own\b": "your own",
    r"\binside of\b|\boutside of\b": "inside, outside",
    r"\bper cents?\b": "percent",
    r"\bbeside (?:the|those|them|it|its|each|ours|a|an|that|such)\b": "next to, and, in addition to",
    r"^So [a-z]+ [a-z]+ (?!far\b)": "therefore, inside the sentence",
}
PROMPT = re.compile(r"^(?:>>>|\.\.\.) ")
MOST = 88


def sentences_of_page(path: Path) -> Iterator[str]:
    """The prose of a page, without literals and indented code."""
    text = path.read_text()
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    text = re.sub(r"^\.\. code-block::.*\n(?:(?: {3}.*)?\n)+", "", text, flags=re.M)
    text = re.sub(r"``[^`]*``", "", text)
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:\* |- |\| ))", text):
        yield " ".join(paragraph.split())


def docstrings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The name and the docstring of a module, and of each class and function in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield getattr(node, "name", "module"), ast.get_docstring(node) or ""


def texts_of_source(path: Path) -> Iterator[str]:
    """The docstrings, messages and comments of a file."""
    text = path.read_text()
    tree = ast.parse(text)
    for _, docstring in docstrings(tree):
        yield " ".join(line.strip() for line in docstring.splitlines() if not PROMPT.match(line.strip()))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield " ".join(node.value.split())
    yield from re.findall(r"(?:^|\s)#:? (.*)$", text, re.M)


def found(text: str) -> list[str]:
    """What is not to be written, with what to write instead."""
    return [
        f"{match.group()!r}: write {instead}; in: {text[:160]}"
        for pattern, instead in WORDS.items()
        for match in re.finditer(pattern, text, re.I if "So" not in pattern else 0)
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_have_no_words_that_are_never_right(path: Path) -> None:
    assert [line for paragraph in sentences_of_page(path) for line in found(paragraph)] == []


@pytest.mark.parametrize("folder", ["torch_synflow", "benchmarks", "docs/_ext", "examples", "tutorials"])
def test_docstrings_messages_and_comments_have_none_either(folder: str) -> None:
    sources = [path for path in SOURCES if path.is_relative_to(ROOT / folder)]
    assert [
        f"{path.relative_to(ROOT)}: {line}"
        for path in sources
        for text in texts_of_source(path)
        for line in found(text)
    ] == []


def test_code_in_docstrings_fits_in_88_columns() -> None:
    wide = [
        f"{path.relative_to(ROOT)}: {name}: {line.strip()}"
        for path in SOURCES
        if path.is_relative_to(ROOT / "torch_synflow")
        for name, docstring in docstrings(ast.parse(path.read_text()))
        for line in docstring.splitlines()
        if PROMPT.match(line.strip()) and len(line.strip()) > MOST
    ]
    assert wide == []


@pytest.mark.parametrize(
    "text",
    [
        "Torch can not see it.",
        "It takes 8 bytes an element.",
        "A line a layer.",
        "Scored anew.",
        "So the masks are equal.",
        "Save the masks beside it.",
        "A tensor that is zero throughout.",
        "Your score, or one of one's own.",
    ],
)
def test_a_pattern_is_found(text: str) -> None:
    assert found(text) != []


@pytest.mark.parametrize(
    "text",
    [
        "Torch cannot see it.",
        "It takes 8 bytes per element.",
        "The masks are equal, so training agrees.",
        "A rank of it.",
    ],
)
def test_what_is_right_is_not_found(text: str) -> None:
    assert found(text) == []
