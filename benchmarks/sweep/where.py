"""Where trials run and where their data are, from the given options; options without an effect are refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.sweep.executors import Executor, InProcess, OnRay
from benchmarks.sweep.trial import Trial
from benchmarks.training.datasets import Source


def source_of(given: dict[str, Any], trials: Sequence[Trial]) -> Source:
    """Where the data are, refusing what no trial needs."""
    needed = {trial.dataset for trial in trials if trial.reads_images}
    paths = []
    for item in given.get("data", ()):
        name, equals, path = item.partition("=")
        if not equals or not path:
            raise ValueError(f"--data: expected NAME=PATH, got {item}")
        if name not in needed or name == "digits":
            raise ValueError(f"--data {name}: has no effect: no trial reads {name}; leave it out")
        paths.append((name, Path(path).expanduser().absolute()))
    if "download" in given and not needed - {name for name, _ in paths} - {"digits", "imagenet"}:
        raise ValueError("--download: has no effect: nothing to download for these trials; leave it out")
    if "cache" in given and not needed - {"digits"}:
        raise ValueError("--cache: has no effect: no trial reads data that are decoded; leave it out")
    plain = Source()
    return Source(tuple(paths), Path(given.get("cache", plain.cache)).expanduser().absolute(), "download" in given)


def default_device() -> str:
    """The GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_of(given: dict[str, Any]) -> str:
    """The device, checked; whether machines of a cluster have it shows there."""
    device: str = given.get("device") or default_device()
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f"--device: expected a device of torch, got {device}") from None
    here = "address" not in given or "dry_run" in given
    if kind == "cuda" and here and not torch.cuda.is_available():
        raise ValueError(f"--device: expected a device of this machine, got {device}: torch finds no GPU")
    return device


def _gpus(given: dict[str, Any], device: str) -> float:
    gpus: float = given.get("gpus_per_trial", 1 if device.startswith("cuda") else 0)
    return gpus


def at_a_time(given: dict[str, Any]) -> tuple[int, int | None]:
    """How many trials run at a time (one if a cluster decides), and with how many threads, if that is known."""
    if given.get("executor") != "ray":
        return 1, given.get("threads")
    device, cpus = device_of(given), given.get("cpus_per_trial", 1)
    threads = max(1, int(cpus)) if device == "cpu" else None
    if "address" in given:
        return 1, threads
    slots = [(given.get("workers") or os.cpu_count() or 1) / cpus]
    if gpus := _gpus(given, device):
        slots.append(torch.cuda.device_count() / gpus)
    return max(1, int(min(slots))), threads


def executor_of(given: dict[str, Any], source: Source) -> Callable[[], Executor]:
    """A function that makes the executor; the options are checked before anything starts."""
    device = device_of(given)
    if given.get("executor") == "ray":
        if "threads" in given:
            raise ValueError("--threads: has no effect with --executor ray; --cpus-per-trial gives each its threads")
        if "workers" in given and "address" in given:
            raise ValueError("--workers: has no effect on a cluster; leave it out")
        gpus = _gpus(given, device)
        if gpus and not device.startswith("cuda"):
            raise ValueError("--gpus-per-trial: has no effect on the CPU; leave it out, or give --device cuda")
        return lambda: OnRay(
            source, device, given.get("address"), given.get("cpus_per_trial", 1), gpus, given.get("retries", 2),
            given.get("workers"),
        )  # fmt: skip
    for flag in ("address", "workers", "cpus_per_trial", "gpus_per_trial", "retries"):
        if flag in given:
            raise ValueError(f"--{flag.replace('_', '-')}: has no effect in this process; give --executor ray")
    return lambda: InProcess(source, device, given.get("threads"))
