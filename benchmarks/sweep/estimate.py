"""The estimated time of trials, from existing results or else from a few steps of each network on this device."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from statistics import mean

import torch
import torch.nn.functional as F

from benchmarks.origin import device_name
from benchmarks.sweep.start import new_network
from benchmarks.sweep.store import Store
from benchmarks.sweep.trial import Trial
from benchmarks.training.kinds import KINDS

#: images of the training sets
COUNTS = {
    "digits": 1437, "mnist": 60_000, "cifar10": 50_000, "cifar100": 50_000, "tinyimagenet": 100_000,
    "imagenet": 1_281_167,
}  # fmt: skip
TEST_SHARE = 0.1  # of the time of an epoch that its test adds


def report(trials: Sequence[Trial], store: Store, device: str, at_a_time: int = 1, threads: int | None = None) -> str:
    """The trials, their number, and the time of those without a result, run so many at a time with so many threads."""
    lines = []
    known: dict[Trial, list[float]] = defaultdict(list)
    missing = []
    here = device_name(device)
    for trial in trials:
        record = store.read(trial)
        if record is None:
            missing.append(trial)
        elif record["origin"]["device"].partition(",")[0] == here:
            known[_alike(trial)].append(record["origin"]["seconds"]["all"])
        lines.append(f"{trial.name}  {'there' if record else '     '}  {trial}")
    seconds, before = 0.0, torch.get_num_threads()
    torch.set_num_threads(threads or before)
    for alike, count in Counter(map(_alike, missing)).items():
        each = mean(known[alike]) if alike in known else predicted(alike, device)
        seconds += count * each
    torch.set_num_threads(before)
    lines.append(f"{len(trials)} trials, {len(trials) - len(missing)} there, {len(missing)} to run")
    lines.append(
        f"about {duration(seconds / at_a_time)} on {device}" + (f", {at_a_time} at a time" if at_a_time > 1 else "")
    )
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds in words."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _alike(trial: Trial) -> Trial:
    """One trial for all that take the same time."""
    return replace(trial, seed=0, density=1.0, ablation="none")


def predicted(trial: Trial, device: str) -> float:
    """Seconds of a trial, from the time of a step."""
    step, passed = _step(trial.pair, trial.recipe.batch, device)
    epochs = trial.recipe.epochs * (1 + TEST_SHARE)
    if trial.prune_epoch:
        epochs += trial.prune_epoch * trial.levels
    training = epochs * COUNTS[trial.dataset] / trial.recipe.batch * step
    examples = trial.examples * KINDS[trial.dataset].classes
    scoring = trial.iterations * (max(1, examples) * passed)
    return training + scoring * (12 if trial.measure == "limit" else 1)


@cache
def _step(pair: str, batch: int, device: str) -> tuple[float, float]:
    """Seconds of a training step, and of one example's share of it."""
    dataset, network = pair.split("/")
    from benchmarks.training.recipes import frankle

    trial = Trial(measure="accuracy", dataset=dataset, network=network, recipe=frankle(dataset, network))
    model = new_network(trial).to(device).train()
    some = min(batch, 32 if KINDS[dataset].size > 32 else batch)  # enough to tell, without the memory of a whole batch
    x, y = torch.rand(some, *KINDS[dataset].shape, device=device), torch.zeros(some, dtype=torch.long, device=device)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        F.cross_entropy(model(x), y).backward()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    each = min(times[1:]) / some
    return each * batch, each
