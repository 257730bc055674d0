"""How far SynFlow prunes torchvision's models: ``python -m benchmarks.speed.limits``.

In 100 iterations to the max compression, as many weights left as there are prunable layers, or to ``--amount``; by
the paper's algorithm, by ``BalancedSynFlow``, and by ``BalancedSynFlow`` with ``keep_layers``. A line for each run: how
many layers are empty at densities of 0.1 and 0.01 on the way and in the end, how many outputs a path reaches then, and
how often was scored. A layer that a shortcut goes round may be empty while paths are left, so both are said.
``--side`` scores on smaller images, which is quicker; how many layers are empty in the end can depend on them, except
with ``keep_layers``. Runs that the file has already are not made again, whatever their images.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
import torchvision
from torch import nn
from tqdm import tqdm

from benchmarks.arguments import positive
from benchmarks.origin import RESULTS, revision, save
from benchmarks.training.networks import torchvision_model
from torch_synflow import diagnostics, prune
from torch_synflow.model.parameters import Entry
from torch_synflow.scoring.network import Network
from torch_synflow.selection.stream import ScoreStream

#: at which emptied layers are counted on the way
DENSITIES = (0.1, 0.01)
#: models whose layers fit images of one size only
ONE_SIDE = ("inception_v3", "maxvit_t")


class Counted(prune.SynFlow):
    """SynFlow that counts how often it scores."""

    times: ClassVar[list[int]] = [0]

    @classmethod
    def score_entries(cls, entries: Sequence[Entry], network: Network) -> ScoreStream:
        """Score and count."""
        cls.times[0] += 1
        return super().score_entries(entries, network)


class CountedKeeping(Counted):
    """The same with ``keep_layers``."""

    keep_layers: ClassVar[bool] = True


class CountedBalanced(Counted, prune.BalancedSynFlow):
    """BalancedSynFlow that counts how often it scores."""


class CountedBalancedKeeping(CountedBalanced):
    """The same with ``keep_layers``."""

    keep_layers: ClassVar[bool] = True


METHODS: dict[str, type[Counted]] = {
    "SynFlow": Counted,
    "BalancedSynFlow": CountedBalanced,
    "BalancedSynFlow, keep_layers": CountedBalancedKeeping,
    "SynFlow, keep_layers": CountedKeeping,
}


def smallest_first() -> list[str]:
    """All of torchvision's classification models, smallest first."""
    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return sorted(names, key=lambda name: torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"])


def schedule(step: int, steps: int, density: float) -> float:
    """The exponential schedule, with the iterations nearest to :data:`DENSITIES` moved there."""
    found = prune.exponential(step, steps, density)
    for stop in DENSITIES:
        if (
            density < stop
            and min(range(1, steps), key=lambda k: abs(density ** (k / steps) / stop - 1), default=0) == step
        ):
            return stop
    return found


def subject(name: str, side: int | None) -> tuple[nn.Module, torch.Tensor]:
    """A model and an image of ones, of the side that is asked for unless the model is one of :data:`ONE_SIDE`.

    A vision transformer reads whole patches: its side is rounded down to a multiple of the patch's, at least one patch.
    """
    torch.manual_seed(0)
    own = 299 if name == "inception_v3" else 224
    if side is None or name in ONE_SIDE:
        return torchvision_model(name).eval(), torch.ones(1, 3, own, own)
    built = {}
    if name.startswith("vit_"):
        patch = int(name.rsplit("_", 1)[1])
        built["image_size"] = side = max(side // patch, 1) * patch
    return torchvision_model(name, **built).eval(), torch.ones(1, 3, side, side)


def measure(name: str, iterations: int, method: str, amount: float | None, side: int | None = None) -> dict[str, Any]:
    """Prune one model to its max compression, or by an amount."""
    model, x = subject(name, side)
    params = prune.prunable_parameters(model, example_inputs=x)
    total = sum(getattr(module, kind).numel() for module, kind in params)
    scoring = METHODS[method]
    scoring.times[0] = 0
    empty: dict[str, int] = {}

    def count(step: int, report: prune.PruningReport) -> None:
        for density in DENSITIES:
            if str(density) not in empty and report.kept <= density * report.total + 1:
                empty[str(density)] = len(report.empty_layers)

    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:  # of tensors read as ones, of layers that are emptied
        warnings.simplefilter("always", UserWarning)
        report = prune.global_iterative_unstructured(
            params, scoring, total - len(params) if amount is None else amount, iterations=iterations,
            schedule=schedule, callback=count, progress=True,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        left = diagnostics.trainability(model, x)
    return {
        "model": name, "method": method, "amount": amount, "iterations": iterations, "weights": total,
        "layers": len(params), "compression": total / report.kept, "empty_at": empty,
        "empty_layers": list(report.empty_layers), "outputs": left.outputs, "outputs_with_a_path": left.reached,
        "without_path": any("not every layer is on a path" in str(warning.message) for warning in caught),
        "side": x.shape[-1], "seconds": seconds, "scored": scoring.times[0], "git": revision(),
    }  # fmt: skip


def main() -> None:
    """Measure, print, and write JSON after each run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.limits", description=__doc__)
    parser.add_argument("--models", nargs="+", default=smallest_first())
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS)[:3])
    parser.add_argument("--iterations", type=positive(int), default=100)
    parser.add_argument("--amount", type=float, help="amount to remove (default: down to max compression)")
    parser.add_argument("--side", type=positive(int), help="side of the images in pixels (default: the model's own)")
    parser.add_argument("--out", type=Path, default=RESULTS / "limits.json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    there = {(row["model"], row["method"], row["amount"], row["iterations"]) for row in rows}
    print(
        f"{'model':<20}{'method':<30}{'weights':>12}{'layers':>8}{'compression':>13}{'empty at 0.1':>14}{'0.01':>6}"
        f"{'end':>5}{'paths':>7}{'scored':>8}{'seconds':>9}"
    )
    for name, method in tqdm([*product(options.models, options.methods)], "models", unit="run"):
        if (name, method, options.amount, options.iterations) in there:
            continue
        rows.append(row := measure(name, options.iterations, method, options.amount, options.side))
        on_the_way = [row["empty_at"].get(str(density), "") for density in DENSITIES]
        tqdm.write(
            f"{name:<20}{method:<30}{row['weights']:>12,}{row['layers']:>8}{row['compression']:>13,.0f}"
            f"{on_the_way[0]:>14}{on_the_way[1]:>6}{len(row['empty_layers']):>5}"
            f"{'yes' if row['outputs_with_a_path'] else 'no':>7}{row['scored']:>8}{row['seconds']:>9.1f}"
        )
        save(options.out, {"rows": rows}, parser.prog)


if __name__ == "__main__":
    main()
