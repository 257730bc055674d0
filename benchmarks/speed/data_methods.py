"""SNIP and GraSP compared with the SynFlow authors' loops: ``python -m benchmarks.speed.data_methods --peer CHECKOUT``.

The checkout is one of github.com/ganguli-lab/Synaptic-Flow. Both score and prune the same network once, in training
mode, with the same 100 examples. Times are taken in turns in one process, so that their ratio, ours to theirs, is what
counts; peaks of memory each in a process of its own, as they are the process's.
"""

from __future__ import annotations

import argparse
import copy
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.origin import RESULTS, ROOT, save
from benchmarks.speed.authors import authors, kept
from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import resnet, vgg
from torch_synflow import prune

NETWORKS: dict[str, Callable[[], nn.Module]] = {"resnet20": lambda: resnet(20), "vgg16": lambda: vgg(16)}
METHODS = {"SNIP": prune.SNIP, "GraSP": prune.GraSP}
DENSITY = 0.1


def ours(model: nn.Module, method: str, batch: tuple[Tensor, Tensor]) -> None:
    """Prune ``model`` once."""
    prune.global_iterative_unstructured(
        model, METHODS[method], 1 - DENSITY, data=batch, loss_fn=F.cross_entropy, iterations=1
    )


def theirs(checkout: Path, model: nn.Module, method: str, batch: tuple[Tensor, Tensor]) -> None:
    """Prune ``model`` once by the authors' ``Pruner``."""
    pruner = authors(checkout, model, method)
    pruner.score(model, F.cross_entropy, [batch], "cpu")
    pruner.mask(DENSITY, "global")


def prepared(network: str) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A network and a batch, the same in each process, and all loaded that a first pass of any kind loads."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dense = initialise(NETWORKS[network]()).train()
    batch = (torch.randn(100, 3, 32, 32), torch.arange(100) % 10)
    with torch.no_grad():
        copy.deepcopy(dense)(batch[0][:2])
    return dense, batch


def peak(network: str, method: str, checkout: Path | None, masks: Path) -> int:
    """The bytes that one run takes at its peak beyond those held before; its masks are saved."""
    model, batch = prepared(network)
    held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    if checkout is None:
        ours(model, method, batch)
    else:
        theirs(checkout, model, method, batch)
    torch.save(kept(model), masks)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held


def times(network: str, method: str, checkout: Path, runs: int) -> dict[str, float]:
    """Median seconds of each over several runs, in turns, and the median of the ratios of neighbours."""
    dense, batch = prepared(network)
    pairs = []
    for _ in tqdm(range(runs + 1), f"{network} {method}", unit="turn"):
        start = time.perf_counter()
        ours(copy.deepcopy(dense), method, batch)
        middle = time.perf_counter()
        theirs(checkout, copy.deepcopy(dense), method, batch)
        pairs.append((middle - start, time.perf_counter() - middle))
    left, right = zip(*pairs[1:], strict=True)  # the first of each warms up
    ratio = median(a / b for a, b in pairs[1:])
    return {"ours": median(left), "authors": median(right), "ratio": ratio}


def measured_peak(network: str, method: str, checkout: Path | None, masks: Path) -> int:
    """``peak`` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.speed.data_methods", "--one", network, method, str(masks)]
    command += ["--peer", str(checkout)] if checkout else []
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr)
    return int(done.stdout)


def compare(network: str, method: str, checkout: Path, runs: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Seconds and peaks of both, the ratios of ours to the authors', and whether the masks are the same."""
    files = folder / "ours.pt", folder / "authors.pt"
    ours_peak = median(measured_peak(network, method, None, files[0]) for _ in range(repeats))
    their_peak = median(measured_peak(network, method, checkout, files[1]) for _ in range(repeats))
    left, right = (torch.load(file) for file in files)
    return {
        "network": network, "method": method, "seconds": times(network, method, checkout, runs),
        "peak_bytes": {"ours": ours_peak, "authors": their_peak, "ratio": ours_peak / their_peak},
        "overlap_of_masks": float((left & right).sum() / (left | right).sum()),
    }  # fmt: skip


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.data_methods", description=__doc__)
    parser.add_argument("--peer", type=Path, help="a checkout of the SynFlow authors' code")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--runs", type=int, default=7, help="number of runs for median times (default 7)")
    parser.add_argument("--repeats", type=int, default=3, help="number of runs for median peaks (default 3)")
    parser.add_argument("--out", type=Path, default=RESULTS / "data_methods.json")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        network, method, masks = options.one
        print(peak(network, method, options.peer, Path(masks)))
        return
    if options.peer is None:
        parser.error("--peer: expected a checkout of the SynFlow authors' code to compare with")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for network in options.networks:
            for method in options.methods:
                row = compare(network, method, options.peer, options.runs, options.repeats, Path(folder))
                rows.append(row)
                seconds, peaks = row["seconds"], row["peak_bytes"]
                print(
                    f"{network} {method}: {seconds['ratio']:.2f} of the authors' time ({seconds['ours']:.2f} s, "
                    f"{seconds['authors']:.2f} s), {peaks['ratio']:.2f} of their peak memory "
                    f"({peaks['ours'] / 2**20:.0f} MiB, {peaks['authors'] / 2**20:.0f} MiB), intersection over union "
                    f"of the masks {row['overlap_of_masks']:.4f}",
                    flush=True,
                )
    save(options.out, {"rows": rows}, parser.prog)


if __name__ == "__main__":
    main()
