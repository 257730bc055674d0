"""The package as it is installed: what its import costs, what it holds, and that its wheel works alone."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import torch

import torch_synflow
from torch_synflow import prune

ROOT = Path(__file__).parent.parent


def run(*code: str) -> str:
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=True)
    return done.stdout


def test_import_loads_nothing_that_torch_has_not_loaded() -> None:
    """No torchvision, numpy or matplotlib: new in ``sys.modules`` are our own and the standard library's."""
    out = run(
        "import sys, torch, torch.utils.checkpoint",  # older torch loads sympy for it
        "before = set(sys.modules)",
        "import torch_synflow",
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}",
        "print(sorted(new - {'torch_synflow', 'torch'} - set(sys.stdlib_module_names)))",
    )
    assert out.strip() == "[]"


def test_the_version_comes_from_one_place() -> None:
    assert metadata.version("torch_synflow") == torch_synflow.__version__
    assert re.search(rf"^version: {re.escape(torch_synflow.__version__)}$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert f"## {torch_synflow.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_paper_that_a_method_names_as_its_source_is_cited() -> None:
    """Of `Tanaka et al. 2020` in a docstring: a reference of that first author and year."""
    cited = re.findall(r"family-names: ([\w ]+),.*?year: (\d+)", (ROOT / "CITATION.cff").read_text(), re.S)
    named = set()
    for method in vars(prune).values():
        text = inspect.getdoc(method) if inspect.isclass(method) else ""
        named |= set(re.findall(r"((?:de )?[A-Z][a-z]+) et al\. (\d+)", (text or "").partition("Source:")[2]))
    assert {("Tanaka", "2020"), ("Frankle", "2021")} <= named
    assert {author for author, _ in named} <= {author for author, _ in cited}


def test_torch_is_the_only_dependency() -> None:
    requires = [r for r in metadata.requires("torch_synflow") or [] if "extra ==" not in r]
    assert [re.split(r"[^\w]", r)[0] for r in requires] == ["torch"]


def test_the_package_is_marked_as_typed() -> None:
    assert (Path(torch_synflow.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", "![a](b/c.png) [d](e.rst) [f](https://g)"),
        ("https://h/i", "![a](https://h/i/raw/main/b/c.png) [d](https://h/i/blob/main/e.rst) [f](https://g)"),
    ],
)
def test_the_packaged_readme_has_absolute_addresses(address: str, expected: str) -> None:
    absolute = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")["absolute"]
    assert absolute("![a](b/c.png) [d](e.rst) [f](https://g)", address) == expected


def test_wheel_and_sdist_build_and_the_wheel_imports_in_a_fresh_environment(tmp_path: Path) -> None:
    """The environment's own torch is lent by path, which makes editable installs invisible."""
    pytest.importorskip("build")
    source = tmp_path / "source"
    shutil.copytree(ROOT / "torch_synflow", source / "torch_synflow", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (sdist,), (wheel,) = ((tmp_path / "dist").glob(pattern) for pattern in ("*.tar.gz", "*.whl"))
    if importlib.util.find_spec("twine"):  # what the index needs to show the description
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", sdist, wheel], check=True)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"torch_synflow/py.typed", "torch_synflow/methods/synflow.py"} <= set(names)
    assert not any(name.startswith(("tests", "benchmarks", "docs")) for name in names)
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/LICENSE") for name in archive.getnames())

    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    where = subprocess.run(
        [
            python,
            "-W",
            "ignore",
            "-c",
            "import torch_synflow; print(torch_synflow.__version__, torch_synflow.__file__)",
        ],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(torch.__file__).parent.parent)},
    ).stdout
    assert where.startswith(f"{torch_synflow.__version__} {tmp_path / 'env'}")
