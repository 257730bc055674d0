"""Where trials run: in this process, or on Ray, on this machine or a cluster."""

from __future__ import annotations

import logging
import os
import time
import traceback
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from benchmarks.origin import ROOT, device_name, now, revision, versions
from benchmarks.sweep.trial import Trial
from benchmarks.training.datasets import Source

Outcome = dict[str, Any]  # "result" and where it comes from, or "error"


class Executor(Protocol):
    """Runs as many trials at a time as it has slots. Further submitted trials wait."""

    slots: int

    def has_room(self) -> bool:
        """Whether another trial may be submitted."""

    def submit(self, trial: Trial) -> None:
        """Take a trial."""

    def next(self) -> tuple[Trial, Outcome]:
        """Wait for a trial to end."""

    def close(self) -> None:
        """Stop the running trials."""


def perform(trial: Trial, source: Source, device: str, threads: int | None) -> Outcome:
    """Run a trial here; an error comes back as text, so that it can be told from a process that died."""
    from benchmarks.sweep.measure import Bench

    if threads is not None:
        torch.set_num_threads(threads)
    started, start = now(), time.perf_counter()
    try:
        where = torch.device(device)
        bench = Bench(trial, source, where)
        result = bench.measure()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    name = device_name(device) + (f", {torch.get_num_threads()} threads" if where.type == "cpu" else "")
    return {
        "result": result,
        "origin": {
            "started": started,
            "seconds": {"all": round(time.perf_counter() - start, 3), **bench.seconds},
            "images_per_second": bench.images_per_second,
            "device": name,
            "data": bench.fingerprint,
            "versions": versions(),
            "git": revision(),
        },
    }


class InProcess:
    """One trial after the other, in this process."""

    slots = 1

    def __init__(self, source: Source, device: str, threads: int | None = None) -> None:
        self.source, self.device, self.threads = source, device, threads
        self.waiting: list[Trial] = []

    def has_room(self) -> bool:
        """Whether no trial is waiting."""
        return not self.waiting

    def submit(self, trial: Trial) -> None:
        """Take the one trial to run next."""
        self.waiting.append(trial)

    def next(self) -> tuple[Trial, Outcome]:
        """Run the submitted trial."""
        trial = self.waiting.pop()
        return trial, perform(trial, self.source, self.device, self.threads)

    def close(self) -> None:
        """Nothing runs between calls."""


@dataclass
class OnRay:
    """Trials as tasks of Ray, which places them, restarts those whose process died, and shares out GPUs.

    Attributes:
        source, device: for the trials.
        address: of a cluster; ``None`` starts Ray on this machine.
        cpus, gpus: of each trial; 0.25 GPUs lets four trials share one.
        retries: how often a trial is started again when its process dies.
        workers: the number of CPUs that Ray may use on this machine.
    """

    source: Source
    device: str
    address: str | None = None
    cpus: float = 1
    gpus: float = 0
    retries: int = 2
    workers: int | None = None

    def __post_init__(self) -> None:
        """Connect to a cluster, or start Ray on this machine."""
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # without it whoever reaches Ray's ports runs code as this user
        try:
            import ray
        except ImportError as error:
            raise SystemExit('--executor ray needs Ray, which is not installed: pip install -e ".[ray]"') from error
        self.ray, self.running = ray, dict[Any, Trial]()
        excluded = ["benchmarks/results", ".git", ".venv*", "docs"]
        environment: dict[str, Any] = {"env_vars": {"BENCHMARKS_REVISION": revision() or ""}}
        if self.address is not None:
            environment |= {"working_dir": str(ROOT), "excludes": excluded}
        own: dict[str, Any] = {}
        if self.address is None:
            own = {"num_cpus": self.workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        try:
            ray.init(
                address=self.address, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR, **own
            )
        except ray.exceptions.AuthenticationError as error:
            raise SystemExit(
                f"--address: expected the token of the cluster, which Ray refused ({str(error).splitlines()[0]}); copy "
                "~/.ray/auth_token from its head"
            ) from error
        threads = max(1, int(self.cpus)) if self.device == "cpu" else None
        share = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=self.retries)
        self.remote: Any = share(perform)
        self.fixed = (self.source, self.device, threads)
        have = ray.cluster_resources()
        slots = [have.get("CPU", 0) / self.cpus] + ([have.get("GPU", 0) / self.gpus] if self.gpus else [])
        if min(slots) < 1:
            self.close()
            raise SystemExit(
                f"--cpus-per-trial, --gpus-per-trial: expected no more than Ray has ({have.get('CPU', 0):g} CPUs, "
                f"{have.get('GPU', 0):g} GPUs), got {self.cpus:g} and {self.gpus:g}"
            )
        self.slots = int(min(slots))

    def has_room(self) -> bool:
        """Whether fewer trials are submitted than twice what can run; a cluster that grows gets more in time."""
        return len(self.running) < 2 * self.slots

    def submit(self, trial: Trial) -> None:
        """Hand a trial to Ray."""
        self.running[self.remote.remote(trial, *self.fixed)] = trial

    def next(self) -> tuple[Trial, Outcome]:
        """Wait for a trial to end."""
        (done, *_), _ = self.ray.wait(list(self.running), num_returns=1)
        trial = self.running.pop(done)
        try:
            return trial, self.ray.get(done)
        except self.ray.exceptions.RayError as error:
            return trial, {"error": f"{type(error).__name__}: the process of the trial died: {error}".splitlines()[0]}

    def close(self) -> None:
        """Leave the cluster, or stop Ray on this machine."""
        self.ray.shutdown()
