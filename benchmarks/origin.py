"""Where a number comes from: the command that was typed, the code, the machine, the versions and the time."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

import torch_synflow

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
#: what decides the numbers, as git names it; results that are not committed yet change none
CODE = ("benchmarks", "torch_synflow", ":(exclude)benchmarks/results")


def origin(command: str, arguments: Sequence[str] | None = None, device: str = "cpu") -> dict[str, Any]:
    """The origin that is stored with the numbers of a command.

    Args:
        command: without its arguments, ``"python -m benchmarks.speed"``.
        arguments: of the command, by default those of this process.
        device: that it measured on.
    """
    return {
        "command": command_line(command, sys.argv[1:] if arguments is None else arguments),
        "date": now(),
        "git": revision(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def save(
    path: Path, found: dict[str, Any], command: str, device: str = "cpu", arguments: Sequence[str] | None = None
) -> None:
    """Write the results of a command and their origin as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**origin(command, arguments, device), **found}, indent=1) + "\n")


def command_line(command: str, arguments: Sequence[str]) -> str:
    """The command without folders of this machine: a checkout is ``CHECKOUT``, another place its last part."""
    shown = ["CHECKOUT" if flag == "--peer" else _bare(argument) for flag, argument in pairwise(("", *arguments))]
    return f"{command} {shlex.join(shown)}".rstrip()


def _bare(argument: str) -> str:
    name, equals, path = argument.rpartition("=")
    if name == "--peer":
        return "--peer=CHECKOUT"
    elsewhere = path.startswith((os.sep, os.pardir, "~"))  # not data/network, nor a place below the project
    return f"{name}{equals}{Path(path).name}" if os.sep in path and (equals or elsewhere) else argument


def now() -> str:
    """The time, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def device_name(device: str) -> str:
    """A GPU's own name."""
    where = torch.device(device)
    return torch.cuda.get_device_name(where) if where.type == "cuda" else where.type


def versions() -> dict[str, str]:
    """Of what the numbers depend on; of torchvision where it was used."""
    found = {"python": platform.python_version(), "torch": torch.__version__}
    if "torchvision" in sys.modules:
        found["torchvision"] = sys.modules["torchvision"].__version__
    return {**found, "torch_synflow": torch_synflow.__version__}


@cache
def revision(root: Path = ROOT) -> str | None:
    """The git revision of the code below ``root``, ``-dirty`` if what decides the numbers was changed since."""
    if "BENCHMARKS_REVISION" in os.environ:
        return os.environ["BENCHMARKS_REVISION"] or None
    described, changed = _git(root, "rev-parse", "--short", "HEAD"), _git(root, "status", "--porcelain", "--", *CODE)
    return f"{described}-dirty" if described and changed else described or None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except OSError:  # no git
        return ""
    return "" if done.returncode else done.stdout.strip()


revision()  # now, as the files may change while a long command runs
