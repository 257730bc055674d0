"""How far SynFlow prunes torchvision's models: ``python -m benchmarks.speed.limits``.

To the max compression, as many weights left as there are prunable layers, in 100 iterations, by the paper's algorithm
and with ``keep_paths``, which divides iterations; a line for each: the layers that are empty then, whether a path from
the input to an output is left, and how often was scored. A layer that a shortcut goes round may be empty while paths
are left, so both are said.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
from tqdm import tqdm

from benchmarks.origin import RESULTS, save
from benchmarks.training.networks import torchvision_model
from torch_synflow import diagnostics, prune
from torch_synflow.model.parameters import Entry
from torch_synflow.scoring.network import Network
from torch_synflow.selection.stream import ScoreStream

MODELS = ("resnet18", "mobilenet_v2", "efficientnet_b0", "convnext_tiny", "swin_t", "vit_b_32")


class Counted(prune.SynFlow):
    """SynFlow that counts how often it scores."""

    times: ClassVar[list[int]] = [0]

    @classmethod
    def score_entries(cls, entries: Sequence[Entry], network: Network) -> ScoreStream:
        """Score and count."""
        cls.times[0] += 1
        return super().score_entries(entries, network)


class Divided(Counted):
    """The same, more often than there are iterations where one would remove as much as a cut holds."""

    keep_paths: ClassVar[bool] = True


def measure(name: str, iterations: int, method: type[Counted]) -> dict[str, Any]:
    """Prune one model to its max compression."""
    torch.manual_seed(0)
    model, x = torchvision_model(name).eval(), torch.ones(1, 3, 224, 224)
    params = prune.prunable_parameters(model, example_inputs=x)
    total = sum(getattr(module, kind).numel() for module, kind in params)
    method.times[0] = 0
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensors read as ones
        report = prune.global_iterative_unstructured(
            params, method, total - len(params), iterations=iterations, progress=True
        )
        seconds = time.perf_counter() - start
        left = diagnostics.trainability(model, x)
    return {
        "model": name, "weights": total, "layers": len(params), "iterations": iterations,
        "max_compression": total / len(params), "empty_layers": list(report.empty_layers),
        "outputs": left.outputs, "outputs_with_a_path": left.reached, "seconds": seconds,
        "scored": method.times[0], "keep_paths": method.keep_paths,
    }  # fmt: skip


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.limits", description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULTS / "limits.json")
    options = parser.parse_args()
    rows = []
    print(
        f"{'model':<18}{'weights':>12}{'layers':>8}{'compression':>13}{'empty':>7}{'keep_paths':>12}"
        f"{'paths':>7}{'scored':>8}{'seconds':>9}"
    )
    for name, method in tqdm([*product(options.models, (Counted, Divided))], "models", unit="run"):
        rows.append(measure(name, options.iterations, method))
        row = rows[-1]
        print(
            f"{name:<18}{row['weights']:>12,}{row['layers']:>8}{row['max_compression']:>13,.0f}"
            f"{len(row['empty_layers']):>7}{row['keep_paths']!s:>12}{'yes' if row['outputs_with_a_path'] else 'no':>7}"
            f"{row['scored']:>8}{row['seconds']:>9.1f}",
            flush=True,
        )
    save(options.out, {"rows": rows}, parser.prog)


if __name__ == "__main__":
    main()
