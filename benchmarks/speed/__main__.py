"""What SynFlow's iterations cost: ``python -m benchmarks.speed``; ratios within one process are what counts.

Beside ours: as many bare dense passes of the same network in float32 (forward and backward of one input of ones),
the loop that torch's own functions allow (scores, then ``global_unstructured``, once an iteration), and, with
``--peer`` and a checkout of github.com/ganguli-lab/Synaptic-Flow, the SynFlow authors' code on the same weights.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.networks import initialise, resnet, vgg
from benchmarks.origin import ROOT, save
from torch_synflow import prune
from torch_synflow.parameters import Entry
from torch_synflow.reader import ScoreReader
from torch_synflow.schedules import kept_counts
from torch_synflow.scoring import Network

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "vgg16": (lambda: vgg(16), 32),
    "resnet20": (lambda: resnet(20), 32),
    "resnet50": (lambda: torchvision_model("resnet50"), 224),
    "wide_resnet50_2": (lambda: torchvision_model("wide_resnet50_2"), 64),
}


def torchvision_model(name: str) -> nn.Module:
    """A model of torchvision, untrained."""
    from torchvision import models

    model: nn.Module = models.get_model(name)
    return model


class TimedSynFlow(prune.SynFlow):
    """SynFlow that notes when each forward and backward pass began and how long it took."""

    notes: list[tuple[float, float]]

    @classmethod
    def score_entries(cls, entries: Sequence[Entry], network: Network) -> ScoreReader:
        """Score and note the time."""
        start = time.perf_counter()
        scores = super().score_entries(entries, network)
        cls.notes.append((start, time.perf_counter() - start))
        return scores


class TimedInFloat32(TimedSynFlow):
    """The same in float32, in which masks depend on the order of summation."""

    dtype = torch.float32


def inputs_of(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """One input of ones on the model's device."""
    return torch.ones(1, *shape, device=next(model.parameters()).device)


def finished(model: nn.Module) -> float:
    """The time when the model's device has done what it was told."""
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def ours(
    model: nn.Module, shape: tuple[int, ...], density: float, iterations: int, method: type[TimedSynFlow] = TimedSynFlow
) -> dict[str, Any]:
    """Seconds in all and by phase, and of the first and the last iteration.

    The gradients at the weights are taken, ranked and dropped a part at a time, so they count as selection.
    """
    method.notes = []
    start = finished(model)
    ends: list[tuple[float, int]] = []
    prune.global_iterative_unstructured(
        model,
        method,
        1 - density,
        example_inputs=inputs_of(model, shape),
        iterations=iterations,
        callback=lambda *_: ends.append((time.perf_counter(), len(method.notes))),
    )
    total = finished(model) - start
    scoring = [seconds for _, seconds in method.notes]
    # an iteration may score several times, and the first not at all where their density rounds to that before
    whole = [
        end - method.notes[before][0] for (_, before), (end, after) in pairwise([(start, 0), *ends]) if after > before
    ]
    return {
        "total": total,
        "forward and backward": sum(scoring),
        "gradients at weights, selection, masks": sum(whole) - sum(scoring),
        "attach and the rest": total - sum(whole),
        "last iteration / first": whole[-1] / whole[0],
    }


def bare_passes(model: nn.Module, shape: tuple[int, ...], iterations: int) -> float:
    """Seconds of dense forward and backward passes of the positive network in float32, nothing else."""
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    start = finished(model)
    for _ in range(iterations):
        model.zero_grad()
        model(inputs_of(model, shape)).sum().backward()
    return finished(model) - start


def stock_loop(model: nn.Module, shape: tuple[int, ...], density: float, iterations: int) -> float:
    """Seconds of scoring and torch's ``global_unstructured`` once an iteration."""
    params = prune.prunable_parameters(model)
    total = sum(getattr(module, kind).numel() for module, kind in params)
    start, kept = finished(model), total
    for step in range(1, iterations + 1):
        keep = round(total * prune.exponential(step, iterations, density))
        scores = prune.synflow_scores(model, inputs_of(model, shape))
        torch_prune.global_unstructured(params, prune.SynFlow, importance_scores=scores, amount=kept - keep)
        kept = keep
    return finished(model) - start


def authors(checkout: Path, model: nn.Module, method: str) -> Any:
    """The authors' pruner called ``method`` for a network, its masks attached by ``prune.identity``."""
    spec = importlib.util.spec_from_file_location("pruners", checkout / "Pruners" / "pruners.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"--peer: expected a checkout with Pruners/pruners.py, got {checkout}")
    pruners = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pruners)
    modules = [module for module, _ in prune.prunable_parameters(model)]
    for module in modules:
        torch_prune.identity(module, "weight")
    return getattr(pruners, method)([(module.weight_mask, module.weight_orig) for module in modules])


def peer(checkout: Path, model: nn.Module, shape: tuple[int, ...], density: float, iterations: int) -> float:
    """Seconds of the authors' SynFlow on the same network."""
    pruner = authors(checkout, model.eval(), "SynFlow")
    x = inputs_of(model, shape)
    start = finished(model)
    for step in range(1, iterations + 1):
        pruner.score(model, None, [(x, None)], x.device)
        pruner.mask(density ** (step / iterations), "global")
    return finished(model) - start


def peer_of_equal_counts(
    checkout: Path, model: nn.Module, shape: tuple[int, ...], density: float, iterations: int
) -> None:
    """The authors' SynFlow in float64, told to remove as many entries as ours does.

    They floor the number to remove, and SynFlow's masks after many iterations differ by per cents when one entry
    more or less goes at the first, or when rounding in float32 exchanges two: only so can masks be compared.
    """
    pruner = authors(checkout, model.double().eval(), "SynFlow")
    total, x = kept(model).numel(), inputs_of(model, shape)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # of the ones that their code makes
    try:
        for keep in kept_counts(prune.exponential, iterations, total, total - round((1 - density) * total)):
            pruner.score(model, None, [(x, None)], x.device)
            pruner.mask((keep - 0.5) / total, "global")
    finally:
        torch.set_default_dtype(usual)


def overlap(first: nn.Module, second: nn.Module) -> float:
    """Intersection over union of what two networks keep."""
    return float((kept(first) & kept(second)).sum() / (kept(first) | kept(second)).sum())


def kept(model: nn.Module) -> Tensor:
    """The mask of the whole network, flat."""
    return torch.cat([getattr(m, f"{name}_mask").reshape(-1) > 0 for m, name in prune.prunable_parameters(model)])


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
    parser.add_argument("--runs", type=int, default=3, help="of which medians are taken (default 3)")
    parser.add_argument("--stock", action="store_true", help="measure torch's own loop too, which is slow")
    parser.add_argument("--peer", type=Path, help="a checkout of the SynFlow authors' code")
    parser.add_argument("--device", default="cpu", help="cpu (the default) or cuda")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/speed.json")
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
