"""The cost of SynFlow's iterations: ``python -m benchmarks.speed``. Compare ratios within one process.

The command compares our code with as many bare dense passes of the same network in float32 (forward and backward of
one input of ones), with the loop that torch's own functions allow (scores, then ``global_unstructured``, once per
iteration), and, with ``--peer`` and a checkout of github.com/ganguli-lab/Synaptic-Flow, with the SynFlow authors' code.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from benchmarks.origin import RESULTS, save
from benchmarks.speed.authors import overlap, peer, peer_of_equal_counts
from benchmarks.speed.iterations import TimedInFloat32, bare_passes, ours, stock_loop
from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import resnet, torchvision_model, vgg

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "vgg16": (lambda: vgg(16), 32),
    "resnet20": (lambda: resnet(20), 32),
    "resnet50": (lambda: torchvision_model("resnet50"), 224),
    "wide_resnet50_2": (lambda: torchvision_model("wide_resnet50_2"), 64),
}


def measure(
    name: str, ratio: float, iterations: int, runs: int, checkout: Path | None, stock: bool, device: str = "cpu"
) -> dict[str, Any]:
    """Medians of several runs, interleaved, as seconds and as ratios to the bare passes."""
    build, size = NETWORKS[name]
    torch.manual_seed(0)
    dense, shape, density = initialise(build(), mode="fan_out").to(device), (3, size, size), 1 / ratio
    if device != "cpu":
        bare_passes(dense, shape, 3)  # starts the device
    found: dict[str, list[float]] = {"bare passes": []}
    phases: list[dict[str, Any]] = []
    overlaps: dict[str, float] = {}
    single: list[float] = []
    for run in tqdm(range(runs), f"{name} at compression {ratio:g}", unit="run"):
        found["bare passes"].append(bare_passes(dense, shape, iterations))
        model, quick = copy.deepcopy(dense), copy.deepcopy(dense)
        phases.append(ours(model, shape, density, iterations))
        single.append(ours(quick, shape, density, iterations, TimedInFloat32)["total"])
        if stock:
            found.setdefault("stock loop", []).append(stock_loop(copy.deepcopy(dense), shape, density, iterations))
        if checkout is not None:
            theirs = copy.deepcopy(dense)
            found.setdefault("authors", []).append(peer(checkout, theirs, shape, density, iterations))
            if not run:
                same = copy.deepcopy(dense)
                peer_of_equal_counts(checkout, same, shape, density, iterations)
                overlaps = {
                    "ours and authors in float64 with equal counts": overlap(model, same),
                    "ours and authors as they are": overlap(model, theirs),
                    "ours in float32 and in float64": overlap(model, quick),
                    "authors as they are and in float64 with equal counts": overlap(theirs, same),
                }
    seconds = {key: median(values) for key, values in found.items()}
    seconds |= {f"ours: {key}": median(phase[key] for phase in phases) for key in phases[0]}
    seconds["ours in float32: total"] = median(single)
    last = seconds.pop("ours: last iteration / first")
    ratios = {key: value / seconds["bare passes"] for key, value in seconds.items()}
    return {
        "network": name, "compression": ratio, "iterations": iterations, "runs": runs, "seconds": seconds,
        "ratio_to_bare_passes": ratios, "last_iteration_to_first": last, "intersection_over_union": overlaps,
    }  # fmt: skip


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["vgg16"])
    parser.add_argument("--compressions", nargs="+", type=float, default=[100.0, 10_000.0])
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3, help="number of runs for medians (default 3)")
    parser.add_argument("--stock", action="store_true", help="measure torch's own loop too, which is slow")
    parser.add_argument("--peer", type=Path, help="a checkout of the SynFlow authors' code")
    parser.add_argument("--device", default="cpu", help="cpu (the default) or cuda")
    parser.add_argument("--out", type=Path, default=RESULTS / "speed.json")
    options = parser.parse_args()
    rows = []
    for name in options.networks:
        for ratio in options.compressions:
            row = measure(name, ratio, options.iterations, options.runs, options.peer, options.stock, options.device)
            rows.append(row)
            print(f"{name} at compression {ratio:g}, {options.iterations} iterations:")
            for key, value in row["seconds"].items():
                print(f"  {key:<46}{value:8.2f} s {row['ratio_to_bare_passes'][key]:8.2f} x bare passes")
            print(f"  the last iteration takes {row['last_iteration_to_first']:.2f} of the first", flush=True)
            for key, value in row["intersection_over_union"].items():
                print(f"  intersection over union, {key}: {value:.4f}", flush=True)
    save(options.out, {"rows": rows}, parser.prog, options.device)


if __name__ == "__main__":
    main()
