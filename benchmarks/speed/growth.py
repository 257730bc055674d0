"""The time and memory of SynFlow as networks grow: ``python -m benchmarks.speed.growth``.

VGG-16 for 32x32 images with all widths multiplied, 1 to 300 million prunable weights, each in a process of its own:
seconds per iteration of 100 to compression 100, and the peak of memory beyond the model, per prunable weight. With
``--stock`` the peak of one ``torch.nn.utils.prune.global_unstructured`` besides. Linux only, as it reads ``/proc``.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.utils.prune as torch_prune
from torch import nn
from tqdm import tqdm

from benchmarks.origin import RESULTS, ROOT, save
from benchmarks.speed.memory import forget_peak, memory
from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import vgg
from torch_synflow import prune

PLAN = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
#: of the widths; the weights grow with their square
FACTORS = (0.26, 0.5, 1.0, 2.0, 4.52)


def network(factor: float) -> nn.Module:
    """VGG-16 with multiplied widths."""
    return initialise(vgg([step if isinstance(step, str) else round(step * factor) for step in PLAN]), mode="fan_out")


def measure(factor: float, iterations: int, compression: float, *, stock: bool) -> dict[str, Any]:
    """Prune one network in this process."""
    torch.manual_seed(0)
    small = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    prune.global_iterative_unstructured(small, prune.SynFlow, 0.5, example_inputs=torch.ones(1, 4), iterations=2)
    model = network(factor)
    entries = sum(getattr(module, name).numel() for module, name in prune.prunable_parameters(model))
    held = forget_peak()
    start = time.perf_counter()
    if stock:
        torch_prune.global_unstructured(
            prune.prunable_parameters(model), torch_prune.L1Unstructured, amount=1 - 1 / compression
        )
    else:
        prune.global_iterative_unstructured(
            model, prune.SynFlow, 1 - 1 / compression, example_inputs=torch.ones(1, 3, 32, 32), iterations=iterations
        )
    seconds = time.perf_counter() - start
    peak = memory("VmHWM")
    return {
        "factor": factor, "entries": entries, "iterations": 1 if stock else iterations, "compression": compression,
        "seconds_an_iteration": seconds / (1 if stock else iterations), "bytes_an_entry": (peak - held) / entries,
        "peak_bytes": peak,
    }  # fmt: skip


def apart(factor: float, iterations: int, compression: float, *, stock: bool) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.growth", "--one", str(factor), "--iterations", str(iterations)]
    command += ["--compression", str(compression), *(["--stock"] if stock else [])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"growth: the process for a factor of {factor} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def exponent(rows: list[dict[str, Any]]) -> float:
    """The slope of log time over log entries, by least squares."""
    x, y = ([math.log(row[key]) for row in rows] for key in ("entries", "seconds_an_iteration"))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Time and memory over the number of entries."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    entries = [row["entries"] for row in rows]
    left.loglog(entries, [row["seconds_an_iteration"] for row in rows], "o-", color="#0072B2")
    left.set(
        xlabel="prunable weights",
        ylabel="seconds per iteration",
        title=f"time grows with weights to the power {exponent(rows):.2f}",
    )
    right.semilogx(entries, [row["bytes_an_entry"] for row in rows], "o-", color="#0072B2")
    right.axhline(24, color="0.5", linestyle="--", linewidth=1)
    right.annotate("24 bytes", (entries[-1], 24), xytext=(0, 4), textcoords="offset points", ha="right", color="0.4")
    right.set(xlabel="prunable weights", ylabel="peak bytes per weight\nbeyond the model", ylim=(0, None))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    first = rows[0]
    figure.suptitle(
        f"SynFlow, VGG-16 of growing width, {first['iterations']} iterations to compression {first['compression']:g}"
    )
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure, print, draw, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.growth", description=__doc__)
    parser.add_argument("--factors", nargs="+", type=float, default=list(FACTORS), help="factors of VGG-16's widths")
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--compression", type=float, default=100.0)
    parser.add_argument("--stock", action="store_true", help="also run torch's global_unstructured once")
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "growth.json")
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure(options.one, options.iterations, options.compression, stock=options.stock)))
        return
    rows, stock = [], []
    for factor in tqdm(options.factors, "networks", unit="network"):
        rows.append(apart(factor, options.iterations, options.compression, stock=False))
        row = rows[-1]
        print(
            f"{row['entries']:>12,} weights: {row['seconds_an_iteration']:8.3f} s per iteration, "
            f"{row['bytes_an_entry']:5.1f} bytes per weight beyond the model, {row['peak_bytes'] / 2**30:.1f} GiB",
            flush=True,
        )
        if options.stock:
            stock.append(apart(factor, options.iterations, options.compression, stock=True))
            print(f"{'':>12} global_unstructured: {stock[-1]['bytes_an_entry']:5.1f} bytes per weight", flush=True)
    print(f"time grows with the weights to the power of {exponent(rows):.2f}")
    save(options.out, {"exponent": exponent(rows), "rows": rows, "global_unstructured": stock}, parser.prog)
    draw(rows, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
