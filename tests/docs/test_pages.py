"""Every page's Python runs as a reader pastes it: alone, from top to bottom, and prints what the page shows."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
DIRECTIVE = re.compile(r"^\.\. code-block:: (\w+)\n((?:   :\w+:.*\n)*)\n((?:   .*\n|\n)+)", re.M)
CHECKER, FLAGS = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    language: str
    text: str
    is_output: bool  # what the block of Python before it prints


def blocks(page: str) -> list[Block]:
    """The blocks of code of a page, in order."""
    text = (ROOT / page).read_text()
    if page.endswith(".md"):
        return [Block(language, code, language == "text") for language, code in FENCED.findall(text)]
    found = DIRECTIVE.findall(text)
    return [Block(name, textwrap.dedent(code).strip("\n") + "\n", "output" in options) for name, options, code in found]


ALL = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.rst"))]
PAGES = [page for page in ALL if any(block.language == "python" for block in blocks(page))]


def missing(code: str) -> set[str]:
    """The libraries that a block imports and that are not installed."""
    imported = re.findall(r"^\s*(?:import|from) (\w+)", code, re.M)
    needed = {*imported, *(["onnxscript"] if "torch.onnx" in code else ())}
    return {name for name in needed if find_spec(name) is None}


@pytest.fixture
def one_rank(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What torchrun tells a process, and the end of the group that a page begins."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_rank")
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*does not have many workers",
    "ignore:.*number of training batches", "ignore:.*exists and is not empty",
)  # fmt: skip
@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_alone_and_prints_what_it_shows(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where some write files
    torch.manual_seed(0)  # counts of layers depend on the random weights
    names: dict[str, Any] = {"__name__": "__main__"}
    absent: set[str] = set()
    found = blocks(page)
    for block, after in zip(found, [*found[1:], Block("", "", False)], strict=True):
        if block.language != "python":
            continue
        absent |= missing(block.text)
        if missing(block.text):
            continue
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(block.text, page, "exec"), names)
        except NameError:
            if not absent:  # else it goes on from a block that could not run
                raise
            continue
        if after.is_output:
            assert CHECKER.check_output(after.text, printed.getvalue(), FLAGS), printed.getvalue()
        else:
            assert printed.getvalue() == "", f"{page} does not show what this prints"


@pytest.mark.parametrize("page", ALL)
def test_code_fits_in_88_columns(page: str) -> None:
    wide = [line for block in blocks(page) if not block.is_output for line in block.text.splitlines() if len(line) > 88]
    assert wide == []


def test_the_method_of_the_page_is_the_synaptic_saliency_of_its_scalar() -> None:
    names: dict[str, Any] = {}
    for block in blocks("docs/methods.rst"):
        if block.language == "python":
            exec(block.text, names)
    model, x = nn.Linear(3, 2), torch.rand(4, 3)
    scores = names["OutputPower"].scores(model, example_inputs=x)
    (gradient,) = torch.autograd.grad(model(x).square().sum(), [model.weight])
    torch.testing.assert_close(scores[model, "weight"].as_subclass(torch.Tensor), gradient * model.weight)
