"""The tutorials: each has a card, says what to install, runs, and imports what the extra of the documentation has."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = {path.stem: path for path in sorted((ROOT / "tutorials").glob("*.py"))}
#: seconds on a quiet core; the others take longer
QUICK = ("own_criterion", "snip_with_a_dataloader")
#: modules by the names that they are installed under
DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def imported(text: str) -> set[str]:
    """The libraries that a script imports."""
    nodes = ast.walk(ast.parse(text))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    outside = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
    return outside - {"torch", "torch_synflow", "benchmarks"}


def test_there_are_the_eight_and_each_has_a_card_and_a_place_in_the_table_of_contents() -> None:
    index = (ROOT / "tutorials" / "index.rst").read_text()
    assert len(SCRIPTS) == 8
    assert set(re.findall(r":link: (\w+)", index)) == set(SCRIPTS)
    assert index.partition(".. toctree::")[2].split()[1:] == re.findall(r":link: (\w+)", index)
    pages = ("docs/index.rst", "docs/quickstart.rst", "README.md")
    assert all("tutorials" in (ROOT / page).read_text() for page in pages)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_tutorial_says_what_to_install_where_to_go_on_and_ends_in_assertions(name: str) -> None:
    tree = ast.parse(text := SCRIPTS[name].read_text())
    title, _, rest = (ast.get_docstring(tree) or "").partition("\n")
    index = (ROOT / "tutorials" / "index.rst").read_text()
    assert f".. grid-item-card:: {title}\n      :link: {name}\n" in index
    assert re.search(r"^   pip install (-e )?\"\.\[", rest, re.M)
    assert "Next: " in text
    assert isinstance(tree.body[-1], ast.Assert)
    assert text.count("print(") >= 1


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_extra_of_the_documentation_has_what_a_tutorial_imports(name: str) -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    extra = set(re.findall(r"^[\w-]+", settings["options.extras_require"]["docs"], re.M))
    needed = {DISTRIBUTIONS.get(module, module) for module in imported(SCRIPTS[name].read_text())}
    assert needed
    assert needed <= extra


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SCRIPTS]
)
def test_a_tutorial_runs_from_top_to_bottom(name: str, tmp_path: Path) -> None:
    """Its assertions are part of it."""
    text = SCRIPTS[name].read_text()
    absent = [module for module in imported(text) if find_spec(module) is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    done = subprocess.run(
        [sys.executable, str(SCRIPTS[name])], cwd=ROOT / "tutorials", capture_output=True, text=True, timeout=580,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg",
             "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip()
