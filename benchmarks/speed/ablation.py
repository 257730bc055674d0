"""What each device of SynFlow's engine gains: ``python -m benchmarks.speed.ablation``, with and without it.

A device is taken out by replacing the function that it is by a plain one, in turns with the engine as it is, in one
process; what counts is the ratio of the medians, and the spread of the runs. Masks must not depend on devices, and
are compared. On a machine that others use, ``--cpu-time`` measures the time of the process on its cores. Memory, with
``--memory`` instead of time, is the peak beyond what a process of its own held before.
Linux only, as it reads ``/proc``.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.origin import RESULTS, ROOT, save
from benchmarks.speed.authors import kept
from benchmarks.speed.growth import network as wide_vgg
from benchmarks.speed.memory import forget_peak, memory
from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import resnet, small_convnext, small_vit, torchvision_model, vgg
from torch_synflow import prune
from torch_synflow.flow.engine import contributions, layers, replay
from torch_synflow.flow.positive import PositiveNetwork
from torch_synflow.flow.surrogate.branches import BalancedFlow
from torch_synflow.flow.surrogate.exponents import ScaledFlow
from torch_synflow.selection import survivors, threshold

#: how to build a network, the size of its images, and how many iterations are run
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "resnet20": (lambda: initialise(resnet(20), mode="fan_out"), 32, 100),
    "vgg16": (lambda: initialise(vgg(16), mode="fan_out"), 32, 100),
    "resnet50": (lambda: torchvision_model("resnet50"), 224, 20),
    "vgg16_of_100_million": (lambda: wide_vgg(2.61), 32, 20),
    "small_vit_attention": (small_vit, 32, 100),
    "small_convnext": (small_convnext, 32, 100),
}
#: those of all variants; the others are for balanced sums
DEFAULT = ("resnet20", "vgg16", "resnet50", "vgg16_of_100_million")
COMPRESSION = 100.0
AS_IT_IS = "as it is"


class KeepingLayers(prune.SynFlow):
    """SynFlow that divides iterations which would cut a layer off."""

    keep_layers = True


def _never_narrow(init: Callable[..., None]) -> Callable[..., None]:
    return lambda self, measured, *, narrow: init(self, measured, narrow=False)


def _with_exponents(scores: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, mode: scores(self, ScaledFlow)


def _plain_indices(marks: Tensor) -> Tensor:
    return marks.reshape(-1).nonzero().squeeze(1)


def _plain_product(x: Tensor, weight: Tensor) -> Tensor:
    return nn.functional.linear(x, weight.to(x.dtype))


def _equal_shares(carried: Tensor, counts: Tensor) -> Tensor:
    """As a rule of its own, whose shares are tensors."""
    return counts


#: what stands for each device: ``(where, name, what instead)``
WITHOUT: Mapping[str, list[tuple[Any, str, Any]]] = {
    "float32 ranking": [(contributions.FlowScores, "__init__", _never_narrow(contributions.FlowScores.__init__))],
    "equal rows": [(replay, "share_positions", lambda tape: None)],
    "living channels": [(survivors.Survivors, "compact", lambda self, tensors: {})],
    "few weights as one vector": [(replay, "PART", 0)],
    "marks found eight at a time": [(module, "indices_of", _plain_indices) for module in (survivors, threshold)],
    "positions that count": [(layers, "_not_zero", lambda gradient: None)],
    "weights widened by parts": [(layers, "_product", _plain_product)],
    "factors of balanced sums on the host": [(BalancedFlow, "shares", staticmethod(_equal_shares))],
}
#: what is not the default
INSTEAD: Mapping[str, list[tuple[Any, str, Any]]] = {
    "thresholds by histograms": [(survivors, "waits", lambda tensor: True)],
    "exponents from the first pass": [(PositiveNetwork, "scores", _with_exponents(PositiveNetwork.scores))],
    "keep_layers": [],
    "balanced sums": [],
}
METHODS: Mapping[str, type[prune.SynFlow]] = {
    "keep_layers": KeepingLayers,
    "balanced sums": prune.BalancedSynFlow,
    "factors of balanced sums on the host": prune.BalancedSynFlow,
}
#: minutes a run on larger networks
ONLY_SMALL = ("thresholds by histograms",)


@contextmanager
def replaced(changes: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """With these functions in the place of the engine's."""
    with ExitStack() as stack:
        for where, name, instead in changes:
            stack.enter_context(patch.object(where, name, instead))
        yield


def run(
    dense: nn.Module, size: int, iterations: int, variant: str, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, int, Tensor]:
    """Seconds, the peak of memory beyond what was held, and the masks."""
    model = copy.deepcopy(dense)
    method = METHODS.get(variant, prune.SynFlow)
    with replaced([*WITHOUT.get(variant, ()), *INSTEAD.get(variant, ())]):
        held = forget_peak()
        start = clock()
        prune.global_iterative_unstructured(
            model, method, 1 - 1 / COMPRESSION, example_inputs=torch.ones(1, 3, size, size), iterations=iterations
        )
        seconds = clock() - start
    return seconds, memory("VmHWM") - held, kept(model)


def built(name: str) -> tuple[nn.Module, int, int]:
    """A network with the same weights each time, the size of its images, and how many iterations are run."""
    build, size, iterations = NETWORKS[name]
    torch.manual_seed(0)
    return build(), size, iterations


def variants_of(name: str, chosen: Sequence[str] | None) -> list[str]:
    """The variants to measure on a network, all or the chosen ones, and the unchanged engine."""
    every = [*WITHOUT, *(v for v in INSTEAD if name == "resnet20" or v not in ONLY_SMALL)]
    return [AS_IT_IS, *(v for v in every if chosen is None or v in chosen)]


def times(name: str, runs: int, chosen: Sequence[str] | None, clock: Callable[[], float]) -> list[dict[str, Any]]:
    """A row for each variant of the engine on one network: seconds of each run."""
    dense, size, iterations = built(name)
    _, _, masks = run(dense, size, iterations, AS_IT_IS)
    found: dict[str, list[tuple[float, bool]]] = {variant: [] for variant in variants_of(name, chosen)}
    for _ in tqdm(range(runs), name, unit="run"):
        for variant, rows in found.items():
            seconds, _, others = run(dense, size, iterations, variant, clock)
            rows.append((seconds, torch.equal(masks, others)))
    usual = median(seconds for seconds, _ in found[AS_IT_IS])
    return [
        {
            "network": name, "weights": len(masks), "iterations": iterations, "compression": COMPRESSION,
            "variant": variant, "without": variant in WITHOUT, "seconds": [seconds for seconds, _ in rows],
            "median": median(seconds for seconds, _ in rows),
            "ratio": median(seconds for seconds, _ in rows) / usual, "same_masks": all(same for _, same in rows),
        }
        for variant, rows in found.items()
    ]  # fmt: skip


def peaks(name: str, chosen: Sequence[str] | None) -> list[dict[str, Any]]:
    """A row for each variant of the engine on one network: the peak of memory of a process of its own."""
    found = []
    for variant in tqdm(variants_of(name, chosen), name, unit="process"):
        command = [sys.executable, "-m", "benchmarks.speed.ablation", "--one", name, variant]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found.append(
            {
                "network": name,
                "variant": variant,
                "without": variant in WITHOUT,
                "peak_bytes_per_weight": float(done.stdout.splitlines()[-1]),
            }
        )
    return found


def peak(name: str, variant: str) -> float:
    """Bytes of memory per prunable weight beyond what this process, which has pruned a small network, holds."""
    small = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    prune.global_iterative_unstructured(small, prune.SynFlow, 0.5, example_inputs=torch.ones(1, 4), iterations=2)
    dense, size, iterations = built(name)
    _, found, masks = run(dense, size, min(iterations, 10), variant)
    return found / len(masks)


def line(row: dict[str, Any]) -> str:
    """A row to be printed."""
    label = f"{row['network']:<22}{('without ' if row['without'] else '') + row['variant']:<44}"
    if "seconds" not in row:
        return f"{label}{row['peak_bytes_per_weight']:8.1f} bytes per weight"
    spread = f"{min(row['seconds']):.2f} to {max(row['seconds']):.2f}"
    others = "" if row["same_masks"] else "  other masks"
    return f"{label}{row['median']:8.2f} s ({spread}) {row['ratio']:6.2f}{others}"


def main() -> None:
    """Measure, print, and write JSON after each network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.ablation", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=DEFAULT)
    parser.add_argument("--variants", nargs="+", choices=[*WITHOUT, *INSTEAD], help="variants (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="number of runs for medians (default 5)")
    parser.add_argument("--cpu-time", action="store_true", help="measure the time on the cores")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="a file (default: benchmarks/results/ablation[_memory].json)")
    options = parser.parse_args()
    if options.one:
        print(peak(*options.one))
        return
    out = options.out or RESULTS / ("ablation_memory.json" if options.memory else "ablation.json")
    clock = time.process_time if options.cpu_time else time.perf_counter
    rows: list[dict[str, Any]] = []
    for name in options.networks:
        chosen = options.variants
        found = peaks(name, chosen) if options.memory else times(name, options.runs, chosen, clock)
        print("\n".join(map(line, found)), flush=True)
        rows += found
        save(out, {"rows": rows}, parser.prog)


if __name__ == "__main__":
    main()
