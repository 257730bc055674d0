"""The cost of masks in training: ``python -m benchmarks.speed.pruned_training``, a step in several ways.

The same network pruned by torch's own ``global_unstructured`` and by ours; ours inside ``prune.folded``, which puts
the masks on after each step; ours with a forward hook on each layer that takes the graph off ``module.weight``, so that
``deepcopy`` would work at any time (``prune.detach`` does it by one call instead); and not pruned at all. The ways take
turns step by step, so that what else the machine does falls on all of them. On a CPU the time is that of the process.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.prune import L1Unstructured, global_unstructured
from tqdm import tqdm

from benchmarks.arguments import positive
from benchmarks.origin import RESULTS, save
from benchmarks.speed.throughput import seconds
from benchmarks.sweep.where import default_device
from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import resnet, vgg
from torch_synflow import prune

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "perceptron": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(3072, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    ),
    "resnet20": lambda: resnet(20),
    "vgg16": lambda: vgg(16),
}
AMOUNT = 0.9
TORCHS = "torch's hooks"


def pruned_by_torch(model: nn.Module) -> None:
    """Prune by magnitude with torch's function."""
    global_unstructured(list(prune.prunable_parameters(model)), L1Unstructured, amount=AMOUNT)


def pruned_by_ours(model: nn.Module) -> None:
    """Prune to the same masks with our function."""
    prune.global_iterative_unstructured(model, prune.L1Unstructured, AMOUNT)


def pruned_and_dropping(model: nn.Module) -> None:
    """The same, with hooks that leave no graph in ``module.weight`` after a forward pass."""
    pruned_by_ours(model)
    for module, _ in prune.prunable_parameters(model):
        module.register_forward_hook(lambda module, *_: setattr(module, "weight", module.weight.detach()))


VARIANTS: dict[str, Callable[[nn.Module], object]] = {
    TORCHS: pruned_by_torch,
    "ours": pruned_by_ours,
    "folded": pruned_by_ours,
    "graphs dropped by hooks": pruned_and_dropping,
    "dense": lambda model: None,
}


def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor]) -> None:
    """One training step."""
    optimizer.zero_grad()
    F.cross_entropy(model(batch[0]), batch[1]).backward()
    optimizer.step()


def measure(name: str, size: int, count: int, runs: int, device: torch.device) -> list[dict[str, Any]]:
    """A row for each way to train one network at one batch size: seconds per step of each run."""
    torch.manual_seed(0)
    dense = initialise(NETWORKS[name](), mode="fan_out").to(device)
    batch = torch.randn(size, 3, 32, 32, device=device), torch.arange(size, device=device) % 10
    found: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    with contextlib.ExitStack() as stack:
        works = {}
        for variant, prepare in VARIANTS.items():
            model = copy.deepcopy(dense).train()
            prepare(model)
            optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
            if variant == "folded":
                stack.enter_context(prune.folded(model, optimizer))
            works[variant] = partial(step, model, optimizer, batch)
            seconds(works[variant], device)  # the first step is slow
        for _ in tqdm(range(runs), f"{name}, batches of {size}", unit="run"):
            sums = dict.fromkeys(VARIANTS, 0.0)
            for _ in range(count):
                for variant, work in works.items():
                    sums[variant] += seconds(work, device)
            for variant, total in sums.items():
                found[variant].append(total / count)
    return [
        {
            "network": name, "batch": size, "variant": variant, "steps": count, "seconds": times,
            "median": median(times),
            "ratios": [ours / theirs for ours, theirs in zip(times, found[TORCHS], strict=True)],
            "ratio": median(ours / theirs for ours, theirs in zip(times, found[TORCHS], strict=True)),
        }
        for variant, times in found.items()
    ]  # fmt: skip


def line(row: dict[str, Any]) -> str:
    """A row to be printed."""
    spread = f"{min(row['ratios']):.3f} to {max(row['ratios']):.3f}"
    label = f"{row['network']:<10}{row['batch']:>4}  {row['variant']:<26}"
    return f"{label}{1e3 * row['median']:9.1f} ms {row['ratio']:7.3f} ({spread})"


def main() -> None:
    """Measure, print, and write JSON after each network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.pruned_training", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=positive(int), default=[16], help="batch sizes (default 16)")
    parser.add_argument("--steps", type=positive(int), default=10, help="steps per run (default 10)")
    parser.add_argument("--runs", type=positive(int), default=5, help="number of runs for medians (default 5)")
    parser.add_argument("--device", default=default_device())
    parser.add_argument("--out", type=Path, default=RESULTS / "pruned_training.json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in options.networks:
        for size in options.batches:
            found = measure(name, size, options.steps, options.runs, torch.device(options.device))
            print("\n".join(map(line, found)), flush=True)
            rows += found
            save(options.out, {"rows": rows}, parser.prog, options.device)


if __name__ == "__main__":
    main()
