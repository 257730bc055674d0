"""The cost of pruning on several processes that hold the same model: ``python -m benchmarks.speed.parallel``.

For each number of processes there is one launch of torchrun, with gloo on the CPU and one thread per process. In it
each method prunes a fresh model in ``DistributedDataParallel`` several times, in turns. The time is that of the slowest
process. The memory is the highest peak of any process beyond what it held before the call. Data are split between the
processes, so all launches read the same examples.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.arguments import positive
from benchmarks.origin import RESULTS, ROOT, save
from benchmarks.speed.memory import forget_peak, memory
from torch_synflow import prune

METHODS = ("SynFlow", "SNIP", "L1Unstructured")
AMOUNT, ITERATIONS, BATCHES, BATCH, SIDE = 0.9, 5, 4, 8, 32


def network() -> nn.Module:
    """The same on all processes."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model: nn.Module = resnet18(num_classes=10)
    return model


def call(model: nn.Module, method: str, rank: int, size: int) -> object:
    """One pruning, with this process's part of the data."""
    if method == "SynFlow":
        x = torch.rand(1, 3, SIDE, SIDE)
        return prune.global_iterative_unstructured(
            model, prune.SynFlow, AMOUNT, example_inputs=x, iterations=ITERATIONS
        )
    if method == "SNIP":
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(BATCHES, BATCH, 3, SIDE, SIDE, generator=generator)
        data = [(batch, torch.arange(BATCH) % 10) for batch in images][rank::size]
        return prune.global_iterative_unstructured(model, prune.SNIP, AMOUNT, data=data, loss_fn=F.cross_entropy)
    return prune.global_iterative_unstructured(model, prune.L1Unstructured, AMOUNT)


def work(runs: int, folder: Path) -> None:
    """The measurement of each process."""
    torch.set_num_threads(1)
    size, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    if size > 1:
        dist.init_process_group("gloo")
    found: list[dict[str, Any]] = []
    for run in range(runs + 1):  # the first warms up
        for method in METHODS:
            model = network()
            if size > 1:
                model = DistributedDataParallel(model)
                dist.barrier()
            held, start = forget_peak(), time.perf_counter()
            call(model, method, rank, size)
            seconds = time.perf_counter() - start
            if run:
                found.append({"method": method, "seconds": seconds, "bytes": memory("VmHWM") - held})
    (folder / f"{rank}.json").write_text(json.dumps(found))
    if size > 1:
        dist.barrier()
        dist.destroy_process_group()


def measured(ranks: int, runs: int) -> list[dict[str, Any]]:
    """A row for each method on so many processes."""
    with tempfile.TemporaryDirectory() as folder:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        command = [*launcher, "-m", "benchmarks.speed.parallel", "--runs", str(runs), "--work", folder]
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
        of_ranks = [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(ranks)]
    rows = []
    for method in METHODS:
        runs_of_ranks = [[row for row in rows if row["method"] == method] for rows in of_ranks]
        row: dict[str, Any] = {"method": method, "processes": ranks, "runs": runs}
        for what in ("seconds", "bytes"):
            slowest = [max(row[what] for row in run) for run in zip(*runs_of_ranks, strict=True)]
            row[what] = {"median": median(slowest), "lowest": min(slowest), "highest": max(slowest)}
        rows.append(row)
    return rows


def main() -> None:
    """Measure, or be one of the processes that do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=positive(int), default=5)
    parser.add_argument("--processes", type=positive(int), nargs="+", default=[1, 2, 4])
    parser.add_argument("--out", type=Path, default=RESULTS / "parallel.json")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)  # a process of torchrun's
    options = parser.parse_args()
    if options.work is not None:
        work(options.runs, options.work)
        return
    rows = [row for ranks in options.processes for row in measured(ranks, options.runs)]
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    found = {"network": "resnet18", "iterations of SynFlow": ITERATIONS, "cores": cores, "load": load, "rows": rows}
    save(options.out, found, "python -m benchmarks.speed.parallel")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
