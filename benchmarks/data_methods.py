"""What SNIP and GraSP cost beside the SynFlow authors' loops: ``python -m benchmarks.data_methods --peer CHECKOUT``.

The checkout is one of github.com/ganguli-lab/Synaptic-Flow. Each measurement runs in a process of its own, as its peak
of memory is the process's; ratios, ours to theirs, are what counts. Each scores and prunes the same network once, in
training mode, with the same examples.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
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

from benchmarks.networks import initialise, resnet, vgg
from benchmarks.speed import authors, kept
from torch_synflow import prune

ROOT = Path(__file__).resolve().parent.parent
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


def one(network: str, method: str, checkout: Path | None, runs: int, masks: Path) -> dict[str, float]:
    """Median seconds of several runs, and the bytes that the first took at its peak beyond those held before."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dense = initialise(NETWORKS[network]()).train()
    batch = (torch.randn(100, 3, 32, 32), torch.arange(100) % 10)
    with torch.no_grad():
        copy.deepcopy(dense)(batch[0][:2])  # what a first pass of any kind loads
    seconds, peak = [], 0
    for run in range(runs):
        model = copy.deepcopy(dense)
        held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        start = time.perf_counter()
        if checkout is None:
            ours(model, method, batch)
        else:
            theirs(checkout, model, method, batch)
        seconds.append(time.perf_counter() - start)
        if run == 0:
            peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held
            torch.save(kept(model), masks)
    return {"seconds": median(seconds), "peak_bytes": peak}


def measured(network: str, method: str, checkout: Path | None, runs: int, masks: Path) -> dict[str, float]:
    """``one`` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.data_methods", "--one", network, method, str(masks)]
    command += ["--runs", str(runs), *(["--peer", str(checkout)] if checkout else [])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def compare(network: str, method: str, checkout: Path, runs: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Medians over several processes of each, in turns, and the ratios."""
    rows: dict[str, list[dict[str, float]]] = {"ours": [], "authors": []}
    for _ in tqdm(range(repeats), f"{network} {method}", unit="turn"):
        rows["ours"].append(measured(network, method, None, runs, folder / "ours.pt"))
        rows["authors"].append(measured(network, method, checkout, runs, folder / "authors.pt"))
    left, right = torch.load(folder / "ours.pt"), torch.load(folder / "authors.pt")
    found = {who: {key: median(row[key] for row in several) for key in several[0]} for who, several in rows.items()}
    return {
        "network": network, "method": method, **found,
        "ratio_of_seconds": found["ours"]["seconds"] / found["authors"]["seconds"],
        "ratio_of_peak_bytes": found["ours"]["peak_bytes"] / found["authors"]["peak_bytes"],
        "overlap_of_masks": float((left & right).sum() / (left | right).sum()),
    }  # fmt: skip


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_methods", description=__doc__)
    parser.add_argument("--peer", type=Path, help="a checkout of the SynFlow authors' code")
    parser.add_argument("--runs", type=int, default=5, help="in one process, of which medians are taken (default 5)")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each (default 3)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/data_methods.json")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        network, method, masks = options.one
        print(json.dumps(one(network, method, options.peer, options.runs, Path(masks))))
        return
    if options.peer is None:
        parser.error("--peer: expected a checkout of the SynFlow authors' code to compare with")
    rows = []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for network in NETWORKS:
            for method in METHODS:
                row = compare(network, method, options.peer, options.runs, options.repeats, Path(folder))
                rows.append(row)
                print(
                    f"{network} {method}: {row['ratio_of_seconds']:.2f} of the authors' time "
                    f"({row['ours']['seconds']:.2f} s, {row['authors']['seconds']:.2f} s), "
                    f"{row['ratio_of_peak_bytes']:.2f} of their peak memory ({row['ours']['peak_bytes'] / 2**20:.0f} "
                    f"MiB, {row['authors']['peak_bytes'] / 2**20:.0f} MiB), intersection over union of the masks "
                    f"{row['overlap_of_masks']:.4f}",
                    flush=True,
                )
    versions = {"python": platform.python_version(), "torch": torch.__version__, "threads": 1}
    options.out.write_text(json.dumps({"device": "cpu", "versions": versions, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
