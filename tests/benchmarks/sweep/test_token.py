"""A head of Ray that is started as the cluster page says refuses callers without its token."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("ray")

pytestmark = pytest.mark.slow
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
PORT = 26379
CALL = """
from pathlib import Path
from benchmarks.sweep.executors import OnRay
from benchmarks.training.datasets import Source
executor = OnRay(Source(), "cpu", "127.0.0.1:%d")
print("joined", executor.slots)
executor.close()
"""


def called(home: Path) -> subprocess.CompletedProcess[str]:
    """The driver joins the cluster as a user with this home."""
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("RAY_AUTH_MODE", None)
    return subprocess.run(
        [sys.executable, "-c", CALL % PORT], env=environment, capture_output=True, text=True, timeout=240
    )


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Path]:
    """A head with a token; the home of the user that started it."""
    environment = {**os.environ, "HOME": str(tmp_path / "owner"), "RAY_AUTH_MODE": "token"}
    (tmp_path / "owner").mkdir()
    subprocess.run([*RAY, "get-auth-token", "--generate"], env=environment, check=True, capture_output=True)
    start = ["start", "--head", f"--port={PORT}", "--node-ip-address=127.0.0.1", "--num-cpus=1"]
    subprocess.run([*RAY, *start, "--include-dashboard=false"], env=environment, check=True, capture_output=True)
    yield tmp_path / "owner"
    subprocess.run([*RAY, "stop", "--force"], env=environment, check=True, capture_output=True)


def test_callers_need_the_token(head: Path, tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    refused = called(tmp_path / "stranger")
    assert refused.returncode != 0
    assert "token" in refused.stderr.lower()
    joined = called(head)
    assert joined.returncode == 0, joined.stderr
    assert "joined 1" in joined.stdout
