"""How far SynFlow prunes torchvision's models: ``python -m benchmarks.limits``.

To the max compression, as many weights left as there are prunable layers, in 100 iterations; one line a model: the
layers that are empty then, and whether a path from the input to an output is left. A layer that a shortcut goes round
may be empty while paths are left, so both are said.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.speed import torchvision_model
from torch_synflow import diagnostics, prune

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("resnet18", "mobilenet_v2", "efficientnet_b0", "convnext_tiny", "swin_t", "vit_b_32")


def measure(name: str, iterations: int) -> dict[str, Any]:
    """Prune one model to its max compression."""
    torch.manual_seed(0)
    model, x = torchvision_model(name).eval(), torch.ones(1, 3, 224, 224)
    params = prune.prunable_parameters(model, example_inputs=x)
    total = sum(module.weight.numel() for module, _ in params)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensors read as ones
        report = prune.global_iterative_unstructured(
            params, prune.SynFlow, total - len(params), iterations=iterations, progress=True
        )
        seconds = time.perf_counter() - start
        left = diagnostics.trainability(model, x)
    return {
        "model": name, "weights": total, "layers": len(params), "iterations": iterations,
        "max_compression": total / len(params), "empty_layers": list(report.empty_layers),
        "outputs": left.outputs, "outputs_with_a_path": left.reached, "seconds": seconds,
    }  # fmt: skip


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/limits.json")
    options = parser.parse_args()
    rows = []
    print(f"{'model':<18}{'weights':>12}{'layers':>8}{'compression':>13}{'empty':>7}{'paths':>7}{'seconds':>9}")
    for name in tqdm(options.models, "models", unit="model"):
        rows.append(measure(name, options.iterations))
        row = rows[-1]
        print(
            f"{name:<18}{row['weights']:>12,}{row['layers']:>8}{row['max_compression']:>13,.0f}"
            f"{len(row['empty_layers']):>7}{'yes' if row['outputs_with_a_path'] else 'no':>7}{row['seconds']:>9.1f}",
            flush=True,
        )
    versions = {"python": platform.python_version(), "torch": torch.__version__, "threads": torch.get_num_threads()}
    found = {"command": "python -m benchmarks.limits", "device": "cpu", "versions": versions, "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
