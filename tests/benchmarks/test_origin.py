"""Beside measured numbers stands what made them, and nothing of the machine's folders."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks.origin import RESULTS, command_line, origin, revision

HERE = "/home/a b/c"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("", ""),
        ("--networks vgg16 --runs 2", "--networks vgg16 --runs 2"),
        (f"--peer '{HERE}'", "--peer CHECKOUT"),
        (f"--peer='{HERE}' --stock", "--peer=CHECKOUT --stock"),
        ("--peer ../theirs", "--peer CHECKOUT"),
        (f"--out '{HERE}/x.json' --cache '{HERE}/'", "--out x.json --cache c"),
        ("--out=/tmp/x.json", "--out=x.json"),
        ("--out benchmarks/results/speed_large.json", "--out benchmarks/results/speed_large.json"),
        ("--cache ../../data", "--cache data"),
        ("--data cifar10=/home/a/c.tar mnist=~/m", "--data cifar10=c.tar mnist=m"),
        ("--pair mnist/lenet_300_100 cifar10/resnet20", "--pair mnist/lenet_300_100 cifar10/resnet20"),
        ("--rows neurons/magnitude/resnet20", "--rows neurons/magnitude/resnet20"),
    ],
)
def test_a_command_is_what_was_typed_without_folders_of_the_machine(typed: str, shown: str) -> None:
    assert command_line("python -m benchmarks.x", shlex.split(typed)) == f"python -m benchmarks.x {shown}".rstrip()


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_only_changed_code_makes_a_revision_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCHMARKS_REVISION", raising=False)

    def found() -> str | None:
        revision.cache_clear()
        return revision(tmp_path)

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert found() is None
    results, code = tmp_path / "benchmarks" / "results", tmp_path / "benchmarks" / "code.py"
    results.mkdir(parents=True)
    (tmp_path / "torch_synflow").mkdir()
    for path in (results / "a.json", code, tmp_path / "torch_synflow" / "code.py", tmp_path / "README.md"):
        path.write_text("1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    clean = git(tmp_path, "rev-parse", "--short", "HEAD").strip()
    assert found() == clean
    for path in (results / "a.json", results / "b.json", tmp_path / "README.md"):
        path.write_text("2")
    assert found() == clean
    for path in (code, tmp_path / "torch_synflow" / "code.py", tmp_path / "benchmarks" / "new.py"):
        before = path.read_text() if path.exists() else None
        path.write_text("2")
        assert found() == f"{clean}-dirty"
        path.unlink() if before is None else path.write_text(before)
    assert found() == clean
    monkeypatch.setenv("BENCHMARKS_REVISION", "abc")  # a worker elsewhere is told
    assert found() == "abc"
    revision.cache_clear()


def test_no_result_is_of_changed_code() -> None:
    files = [path for path in RESULTS.rglob("*.json*") if path.is_file()]
    assert len(files) > 30
    assert [path.name for path in files if b"-dirty" in path.read_bytes()] == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_named() -> None:
    assert origin("x", [], "cuda")["device"] == torch.cuda.get_device_name()
