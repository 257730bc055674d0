"""The SynFlow paper's figure 1 (Tanaka et al. 2020) in minutes on a laptop: ``python -m benchmarks.demo``.

In a chain of layers an empty layer cuts the network. In a residual network it need not: the shortcut goes past it.
SynFlow conserves the flow from input to output, so there it empties branches early. So two limits are found, without
training: the critical compression (the highest with no layer empty) and the highest at which kept weights still join
input and output. This residual network has one prunable 1x1 shortcut, and in it SynFlow keeps a path to the end; in
other networks with shortcuts it need not (``benchmarks/results/limits.json``).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product, repeat
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from torch import nn
from tqdm import tqdm

from benchmarks.arguments import positive
from benchmarks.origin import RESULTS, origin
from benchmarks.training.digits import digits
from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import resnet, vgg
from torch_synflow import diagnostics, prune

Numbers = dict[str, Any]
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "VGG": lambda: vgg((16, "M", 32, 32, "M", 64, 64), channels=1),
    "Residual network": lambda: resnet(6, channels=1, widths=(16, 64)),
}
# The class, and the colour (Okabe and Ito's, which the colour-blind tell apart) and marker that stand for it.
METHODS: dict[str, tuple[type[prune.BasePruningMethod], str, str]] = {
    "random": (prune.RandomUnstructured, "#888888", "s"),
    "magnitude": (prune.L1Unstructured, "#CC79A7", "D"),
    "SNIP": (prune.SNIP, "#E69F00", "^"),
    "GraSP": (prune.GraSP, "#009E73", "v"),
    "SynFlow": (prune.SynFlow, "#0072B2", "o"),
}
STEPS = 8  # equal steps of log10 compression from 0 to the max compression
HALVINGS = 3  # of such a step, to find a limit
BATCH, RATE = 64, 0.1
data = cache(digits)  # each process reads the images once


def size(network: str) -> tuple[int, int, float]:
    """The number of prunable weights, of their layers, and log10 of the quotient, the max compression."""
    parameters = prune.prunable_parameters(NETWORKS[network]())
    total = sum(getattr(module, name).numel() for module, name in parameters)
    return total, len(parameters), math.log10(total / len(parameters))


def pruned(network: str, method: str, seed: int, step: float) -> tuple[nn.Module, Numbers]:
    """A network at initialisation, pruned to ``step`` of ``STEPS`` on the log10 way to the max compression."""
    (train, _), (total, _, limit) = data(), size(network)
    torch.manual_seed(seed)  # all methods start from the same weights
    model = initialise(NETWORKS[network]())
    parameters = prune.prunable_parameters(model, example_inputs=train.tensors[0][:1])
    pruning_method = METHODS[method][0]
    scoring: dict[str, Any] = {}
    if pruning_method in (prune.SNIP, prune.GraSP):
        batch = prune.class_balanced_batch(train, generator=torch.Generator().manual_seed(seed))
        scoring = {"data": batch, "loss_fn": F.cross_entropy}
    ratio = limit * step / STEPS
    amount = total - round(total / 10**ratio)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", prune.EmptiedLayersWarning)  # the picture says where layers are empty
        report = prune.global_iterative_unstructured(parameters, pruning_method, amount, **scoring)
    row = {"seed": seed, "log10_compression": ratio, "kept": report.kept, "density": report.density}
    path = diagnostics.trainability(model, parameters.example_inputs).can_train
    return model, {**row, "empty_layers": report.empty_layers, "path": path}


def tested(model: nn.Module, epochs: int, seed: int) -> float:
    """Train by SGD with one rise and fall of the rate; returns the test accuracy in %."""
    (images, labels), (test_images, test_labels) = (part.tensors for part in data())
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.SGD(model.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = epochs * math.ceil(len(images) / BATCH)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.2, cycle_momentum=False)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images), generator=order).split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimiser.step()
            rate.step()
    return 100 * float((model.eval()(test_images).argmax(1) == test_labels).double().mean())


def curve(network: str, method: str, seed: int, epochs: int) -> Numbers:
    """Prune, train and test at every compression; then find the two limits."""
    rows = []
    for step in range(STEPS + 1):
        model, row = pruned(network, method, seed, step)
        rows.append({**row, "accuracy": tested(model, epochs, seed)})

    def limit(fails: Callable[[Numbers], bool]) -> float:
        """The highest log10 compression before the first failure, narrowed down by pruning in between."""
        last, first = next(((i - 1, i) for i, row in enumerate(rows) if fails(row)), (STEPS, STEPS + 1))
        low, high = float(last), float(first)
        for _ in range(HALVINGS if high <= STEPS else 0):
            middle = (low + high) / 2
            low, high = (low, middle) if fails(pruned(network, method, seed, middle)[1]) else (middle, high)
        return size(network)[2] * low / STEPS

    critical, path = limit(lambda row: bool(row["empty_layers"])), limit(lambda row: not row["path"])
    return {"seed": seed, "critical_log10_compression": critical, "last_path_log10_compression": path, "rows": rows}


def run(seeds: int, epochs: int) -> Numbers:
    """All curves, one per core at a time; the results do not depend on the number of cores."""
    jobs = list(product(NETWORKS, METHODS, range(seeds)))
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8), get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        arriving = pool.map(curve, *zip(*jobs, strict=True), repeat(epochs))
        curves = list(tqdm(arriving, "Pruning and training", len(jobs), unit="curve", smoothing=0))
    results = {}
    for name in NETWORKS:
        total, layers, limit = size(name)
        methods = {m: [c for job, c in zip(jobs, curves, strict=True) if job[:2] == (name, m)] for m in METHODS}
        results[name] = {"total": total, "layers": layers, "max_log10_compression": limit, "methods": methods}
    return results


def accuracies(result: Numbers, method: str) -> list[list[float]]:
    """For each compression the accuracies of all seeds."""
    curves = [c["rows"] for c in result["methods"][method]]
    return [[row["accuracy"] for row in rows] for rows in zip(*curves, strict=True)]


def limits(result: Numbers, kind: str) -> dict[str, float]:
    """For each method the mean over the seeds of a limit, ``critical`` or ``last_path``."""
    return {m: mean(c[f"{kind}_log10_compression"] for c in curves) for m, curves in result["methods"].items()}


def table(name: str, result: Numbers) -> str:
    """The mean accuracies as text, and one sentence, from the numbers, on whether they show the paper's point."""
    top, last = result["max_log10_compression"], STEPS + 1
    critical, path = limits(result, "critical"), limits(result, "last_path")
    means = {method: [*map(mean, accuracies(result, method))] for method in METHODS}
    lines = [
        f"\n{name}: {result['total']:,} weights, {result['layers']} layers, max compression 10^{top:.2f}",
        "log10 compression" + "".join(f"{top * step / STEPS:7.2f}" for step in range(last)) + "  critical  last path",
    ]
    for m, values in means.items():
        lines.append(f"{m:<17}" + "".join(f"{v:7.1f}" for v in values) + f"{critical[m]:10.2f}{path[m]:11.2f}")
    ours, others = means.pop("SynFlow"), [*map(max, *means.values())]
    step = max(range(last), key=lambda i: ours[i] - others[i])
    rivals = [value for method, value in path.items() if method != "SynFlow"]
    shown = math.isclose(path["SynFlow"], top) and max(rivals) < top and ours[step] > 2 * others[step]
    lines.append(
        f"{'This shows' if shown else 'This does not show'} the paper's point: the others cut the last path after "
        f"10^{min(rivals):.2f} to 10^{max(rivals):.2f}, SynFlow keeps one to 10^{path['SynFlow']:.2f}; at "
        f"10^{top * step / STEPS:.2f} it is at {ours[step]:.0f} %, the best of the others at {others[step]:.0f} %."
    )
    if emptied := {e for c in result["methods"]["SynFlow"] for row in c["rows"] for e in row["empty_layers"]}:
        lines.append(f"But after 10^{critical['SynFlow']:.2f} SynFlow empties layers: {', '.join(sorted(emptied))}.")
    return "\n".join(lines)


def draw(results: Numbers, caption: str, path: Path) -> None:
    """Accuracy against compression; below it, for each method, the two limits."""
    plt.switch_backend("Agg")  # a file, no window
    figure, axes = plt.subplots(2, 2, figsize=(11, 6.6), sharex="col", sharey="row", height_ratios=(3.2, 1))
    for (name, result), top, low in zip(results.items(), *axes, strict=True):
        maximum = 10 ** result["max_log10_compression"]
        ratios = [maximum ** (step / STEPS) for step in range(STEPS + 1)]
        for method, (_, colour, marker) in METHODS.items():
            values = accuracies(result, method)
            top.fill_between(ratios, [*map(min, values)], [*map(max, values)], color=colour, alpha=0.2, linewidth=0)
            top.plot(ratios, [*map(mean, values)], color=colour, marker=marker, markersize=5, label=method)
        for lane, (method, (_, colour, _)) in enumerate(METHODS.items()):
            critical, last = (10 ** limits(result, kind)[method] for kind in ("critical", "last_path"))
            low.plot([critical, last], [lane, lane], color=colour, linewidth=1)
            low.plot(last, lane, "o", markersize=9, fillstyle="none", color=colour, clip_on=False)
            low.plot(critical, lane, "^", markersize=6, color=colour, clip_on=False)
        finish(top, low, name, result)
    axes[0, 0].set_ylabel("test accuracy (%)")
    axes[0, 0].legend(loc="center left", bbox_to_anchor=(0, 0.42), frameon=False)
    figure.suptitle("Pruned at initialisation, then trained on 8x8 handwritten digits", fontsize=13)
    figure.text(0.5, 0.01, caption, ha="center", fontsize=9.5)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path, dpi=150)


def finish(top: Axes, low: Axes, name: str, result: Numbers) -> None:
    """The scales, the lines of chance and of max compression, and the words of a column of the picture."""
    maximum = result["total"] / result["layers"]
    top.set(xscale="log", ylim=(0, 102), title=f"{name}: {result['total']:,} weights, {result['layers']} layers")
    top.axhline(10, color="black", linestyle=":", linewidth=1)
    top.text(1, 4, "chance: 10 %", fontsize=9)
    top.text(maximum * 0.9, 60, "max compression", rotation=90, ha="right", va="center", fontsize=9)
    for axes in (top, low):
        axes.axvline(maximum, color="black", linestyle="--", linewidth=1.2)
        axes.spines[["top", "right"]].set_visible(False)
    low.set(yticks=range(5), yticklabels=METHODS, ylim=(-0.6, 4.6), xlabel="compression ratio (weights / weights kept)")


def main() -> None:
    """Run the demo: its numbers, picture and table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description="Prune, train, test and draw.")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of demo.json and demo.png")
    parser.add_argument("--epochs", type=positive(int), default=10, help="training epochs (default 10)")
    parser.add_argument("--seeds", type=positive(int), default=2, help="number of seeds (default 2)")
    options = parser.parse_args()
    print(f"{len(METHODS)} methods on {len(NETWORKS)} networks at {STEPS + 1} compressions, {options.seeds} seeds ...")
    options.out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    results = run(options.seeds, options.epochs)
    numbers = {
        **origin(parser.prog),
        "threads": 1,  # of each process
        "optimiser": "SGD, Nesterov momentum 0.9, weight decay 5e-4, one-cycle rate",
        "settings": {"epochs": options.epochs, "seeds": options.seeds, "batch": BATCH, "rate": RATE},
        "seconds": round(time.perf_counter() - start, 1),
        "networks": results,
    }
    unfinished = options.out / "demo.json.part"  # renamed when whole, so that demo.json never is half a file
    unfinished.write_text(json.dumps(numbers, indent=1) + "\n")
    unfinished.replace(options.out / "demo.json")
    caption = (
        "▲ critical compression: above it, a layer is empty.   ○ last path: above it, no path joins input and output.\n"
        f"Means (bands: ranges) over {options.seeds} seeds; {options.epochs} epochs of SGD; 360 test images."
    )
    draw(results, caption, options.out / "demo.png")
    print(*(table(name, result) for name, result in results.items()), sep="\n")
    print(f"\nWrote {options.out / 'demo.json'} and demo.png in {time.perf_counter() - start:.0f} s.")


if __name__ == "__main__":
    main()
