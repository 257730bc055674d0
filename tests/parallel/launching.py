"""Real processes for the tests: a program of ``tests/parallel/programs`` on several ranks, with a deadline."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
#: seconds for all of a program; a hang ends there
DEADLINE = 240


def torchrun(program: str, ranks: int, folder: Path, *arguments: str) -> list[Any]:
    """What each rank of a program gave to :func:`tests.parallel.programs.ranks.save`."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    command = [*launcher, "-m", f"tests.parallel.programs.{program}", str(folder), *arguments]
    done = _finished([subprocess.Popen(command, **_settings({}))])[0]
    assert done.returncode == 0, done.stdout
    return [found(folder, rank) for rank in range(ranks)]


def processes(program: str, ranks: int, folder: Path, *arguments: str) -> list[subprocess.CompletedProcess[str]]:
    """The same program without a launcher, which would end all ranks with the first that dies."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", f"tests.parallel.programs.{program}", str(folder), *arguments]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    return _finished([subprocess.Popen(command, **_settings({**where, "RANK": str(rank)})) for rank in range(ranks)])


def found(folder: Path, rank: int) -> Any:
    """What a rank has saved."""
    return torch.load(folder / f"{rank}.pt", weights_only=False)


def _settings(variables: dict[str, str]) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return {"env": environment, "cwd": ROOT, "start_new_session": True, **pipes}


def _finished(started: Sequence[subprocess.Popen[str]]) -> list[subprocess.CompletedProcess[str]]:
    """The processes once they have ended; past the deadline they are killed, and the test fails."""
    try:
        outputs = [process.communicate(timeout=DEADLINE)[0] for process in started]
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    pairs = zip(started, outputs, strict=True)
    return [subprocess.CompletedProcess(process.args, process.returncode, output) for process, output in pairs]
