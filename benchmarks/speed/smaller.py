"""How much smaller and faster pruned networks become: ``python -m benchmarks.speed.smaller``.

Each network at each amount by each method, in turns: dense, with masks, and shrunk by ``prune.shrink``: parameters,
multiplications with additions (MACs), the time of one image in evaluation and of a training step, and the file of the
weights. Medians of several runs, with the lowest and the highest. Where a layer of the shrunk network is still
over 95 % empty the table says whether the CSR format beats the dense product. Rows that the file has already are not
measured again. With ``--channels-last`` or ``--compiled`` all three networks run so. The latency of the shrunk network
is that of a deployed one: its masks are permanent.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import time
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.arguments import positive
from benchmarks.origin import RESULTS, device_name, revision, save
from benchmarks.speed.pruned import AMOUNTS, CLASSES, METHODS, SHOWN, network, pruned
from benchmarks.speed.smaller_picture import draw
from benchmarks.sweep.where import default_device
from torch_synflow import prune

KINDS = ("dense", "masked", "small")
#: how empty a layer has to be for a sparse format to be tried
EMPTY = 0.95
#: what tells rows apart
KEY = ("network", "method", "amount", "channels_last", "compiled", "device")


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of some work, until it is done on the device."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def latency(model: nn.Module, x: Tensor) -> Callable[[], object]:
    """A forward pass in evaluation mode."""

    def work() -> object:
        model.eval()
        with torch.no_grad():
            return model(x)

    return work


def training_step(model: nn.Module, x: Tensor) -> Callable[[], object]:
    """One step of SGD with momentum."""
    y = torch.randint(CLASSES, (len(x),), device=x.device)
    optimizer = torch.optim.SGD(model.parameters(), 0.0, momentum=0.9)

    def work() -> None:
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return work


def file_size(model: nn.Module) -> int:
    """The size in bytes of the file that ``torch.save`` writes for the weights."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell()


def spread(times: list[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": median(times), "lowest": min(times), "highest": max(times)}


def sparse_formats(small: nn.Module, runs: int) -> list[dict[str, Any]]:
    """For each weight that is over 95 % empty the time of its product with 128 columns, dense and in CSR.

    The weight of a convolution is the matrix that multiplies unfolded images.
    """
    rows = []
    for name, mask in prune.masks(small).items():
        if mask.dim() < 2 or float(mask.double().mean()) > 1 - EMPTY:
            continue
        owner, _, kind = name.rpartition(".")
        weight = getattr(small.get_submodule(owner), kind).detach().flatten(1)
        x = torch.randn(weight.shape[1], 128, device=weight.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # CSR is in beta
            csr = weight.to_sparse_csr()
        parts: dict[str, list[float]] = {"dense": [], "csr": []}
        for _ in range(runs + 1):
            for key, matrix in (("dense", weight), ("csr", csr)):
                parts[key].append(seconds(lambda matrix=matrix, x=x: matrix @ x, weight.device))  # type: ignore[misc]
        dense, sparse = (median(times[1:]) for times in parts.values())
        rows.append({"layer": name, "density": float(mask.double().mean()), "dense_to_csr": dense / sparse})
    return rows


def prepared(model: nn.Module, layout: torch.memory_format, compiled: bool) -> Any:
    """The model as it is timed."""
    model = model.to(memory_format=layout)
    return torch.compile(model) if compiled else model


def measure(
    name: str, method: str, amount: float, runs: int, batch: int, iterations: int, device: torch.device, *,
    channels_last: bool = False, compiled: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """One row: three networks, in turns."""
    row: dict[str, Any] = {
        "network": name, "method": method, "amount": amount, "runs": runs, "batch": batch,
        "channels_last": channels_last, "compiled": compiled, "device": device_name(str(device)), "git": revision(),
    }  # fmt: skip
    model = pruned(name, method, amount, iterations, device)
    dense, side = network(name)
    example = torch.randn(2, 3, side, side, device=device)
    try:
        small = prune.shrink(model, example)
    except ValueError as error:  # layer collapse
        return {**row, "refused": str(error)}
    report: prune.ShrinkReport = small.__dict__["shrink_report"]
    models = dict(zip(KINDS, (dense.to(device), model, small), strict=True))
    row["parameters"] = dict(zip(KINDS, (report.parameters, report.parameters, report.parameters_kept), strict=True))
    row["macs"] = dict(
        zip(KINDS, [n // len(example) for n in (report.macs, report.macs, report.macs_kept)], strict=True)
    )
    row["bytes"] = {kind: file_size(one) for kind, one in models.items()}
    row["sparse_formats"] = sparse_formats(small, runs)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    deployed = copy.deepcopy(small)
    prune.remove_all(deployed)
    if compiled:
        torch.compiler.reset()  # torch compiles a function a few times only, and the models of all rows share theirs
    ready = {kind: prepared(model, layout, compiled) for kind, model in {**models, "deployed": deployed}.items()}
    one, many = (torch.randn(n, 3, side, side, device=device).contiguous(memory_format=layout) for n in (1, batch))
    works = {
        "latency": {kind: latency(ready["deployed" if kind == "small" else kind], one) for kind in KINDS},
        "training_step": {kind: training_step(ready[kind], many) for kind in KINDS},
    }
    row["speed_up"] = {}
    for what, parts in works.items():
        times: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(runs + 1):
            for kind, work in parts.items():
                times[kind].append(seconds(work, device))
        row[f"{what}_seconds"] = {kind: spread(taken[1:]) for kind, taken in times.items()}  # the first run is slow
        row["speed_up"][what] = spread([a / b for a, b in zip(times["dense"][1:], times["small"][1:], strict=True)])
    return row


def shown(row: dict[str, Any]) -> str:
    """One row of the printed table."""
    begin = f"{row['network']:<13}{row['method']:<17}{row['amount']:>7}"
    if "refused" in row:
        return f"{begin}  no path is left"
    left = row["parameters"]["small"] / row["parameters"]["dense"], row["macs"]["small"] / row["macs"]["dense"]
    begin += f"{left[0]:>12.3f}{left[1]:>8.3f}{row['bytes']['small'] / row['bytes']['masked']:>8.3f}"
    step, one = (row["speed_up"][what] for what in ("training_step", "latency"))
    csr = [part["dense_to_csr"] for part in row["sparse_formats"]]
    faster = f"{sum(ratio > 1 for ratio in csr)} of {len(csr)}" if csr else ""
    return (
        f"{begin}{one['median']:>9.2f}{step['median']:>8.2f} ({step['lowest']:.2f} to {step['highest']:.2f})"
        f"{faster:>10}"
    )


def main() -> None:
    """Measure, print, draw, and write JSON after each row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.smaller", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=SHOWN, default=list(SHOWN))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--amounts", nargs="+", type=float, default=list(AMOUNTS))
    parser.add_argument("--runs", type=positive(int), default=5, help="number of runs after a warm-up run (default 5)")
    parser.add_argument("--batch", type=positive(int), default=128, help="batch size of a training step (default 128)")
    parser.add_argument("--iterations", type=positive(int), default=100, help="iterations of SynFlow (default 100)")
    parser.add_argument("--channels-last", action="store_true", help="time networks and images in channels_last")
    parser.add_argument("--compiled", action="store_true", help="time compiled models")
    parser.add_argument("--device", default=default_device())
    parser.add_argument("--out", type=Path, default=RESULTS / "smaller.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    rows: list[dict[str, Any]] = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    there = {tuple(row[key] for key in KEY) for row in rows}
    print(
        f"{'network':<13}{'method':<17}{'amount':>7}{'parameters':>12}{'MACs':>8}{'file':>8}{'latency':>9}"
        f"{'step':>8} (lowest to highest){'CSR wins':>10}"
    )
    for name, method, amount in tqdm([*product(options.networks, options.methods, options.amounts)], unit="row"):
        if (name, method, amount, options.channels_last, options.compiled, device_name(options.device)) in there:
            continue
        rows.append(
            measure(
                name, method, amount, options.runs, options.batch, options.iterations, device,
                channels_last=options.channels_last, compiled=options.compiled,
            )
        )  # fmt: skip
        tqdm.write(shown(rows[-1]))
        save(options.out, {"rows": rows}, parser.prog, options.device)
    draw([row for row in rows if not row["channels_last"] and not row["compiled"]], options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
