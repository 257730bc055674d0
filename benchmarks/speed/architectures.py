"""SynFlow's scores on torchvision's classification models: ``python -m benchmarks.speed.architectures``.

A score is to be finite, and positive exactly where its weight is not zero and lies on a path from input to output.
The totals of layers that cut the network equal R; a layer in one of several branches carries that branch's part, and a
fused projection of Q, K and V three times its block's. Biases are zero here, as they would add flow of their own;
learned tokens and positions are as they are, as these are read as zero.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from tqdm import tqdm

from benchmarks.origin import RESULTS, save
from torch_synflow import prune
from torch_synflow.model.parameters import unwrap

OUT = RESULTS / "architectures.json"
SMALLEST_LAYER = "smallest / R"
GREATEST_LAYER = "greatest / R"


def build(name: str) -> nn.Module:
    """The model at initialisation, in evaluation mode, all biases zero."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # googlenet and inception_v3 ask for init_weights
        model: nn.Module = torchvision.models.get_model(name, weights=None).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "bias" in key.rpartition(".")[2]:
                parameter.zero_()
    return model


def measure(name: str) -> dict[str, Any]:
    """One line of the table."""
    model = build(name)
    size = 299 if name == "inception_v3" else 224
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        start = time.perf_counter()
        scores = prune.synflow_scores(model, torch.ones(1, 3, size, size))
        seconds = time.perf_counter() - start
    warned = " ".join(str(w.message) for w in caught)
    names = {module: key for key, module in unwrap(model).named_modules()}
    totals: dict[str, float] = {}
    finite = positive = True
    unused = warned.partition("scored zero")[2]
    for (module, kind), score in scores.items():
        key = f"{names[module]}.{kind}"
        weight = getattr(module, kind)
        if key in unused.replace(",", " ").split():
            positive &= not bool(score.any())
            continue
        live = weight != 0 if bool(weight.any()) else torch.ones_like(weight, dtype=torch.bool)
        finite &= bool(score.isfinite().all())
        positive &= bool(((score > 0) == live).all())
        totals[key] = float(score.sum())
    first, last = next(iter(totals.values())), list(totals.values())[-1]
    smallest, greatest = min(totals, key=lambda k: totals[k]), max(totals, key=lambda k: totals[k])
    return {
        "model": name,
        "weights": sum(s.numel() for s in scores.values()),
        "finite": finite,
        "positive": positive,
        "first / last - 1": first / last - 1,
        SMALLEST_LAYER: totals[smallest] / last,
        "smallest": smallest,
        GREATEST_LAYER: totals[greatest] / last,
        "greatest": greatest,
        "seconds": round(seconds, 2),
        "warning": warned,
    }


def main() -> None:
    """Run the models, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.architectures", description=__doc__)
    parser.add_argument("models", nargs="*", help="models (default: all; the two largest need 20 GB)")
    parser.add_argument("--out", type=Path, help=f"default benchmarks/results/{OUT.name} for all models, else none")
    options = parser.parse_args()
    chosen: list[str] = options.models
    names = chosen or torchvision.models.list_models(module=torchvision.models)
    rows = []
    print(f"{'model':24} finite positive first/last-1 {SMALLEST_LAYER:>13} {GREATEST_LAYER:>13} seconds")
    for name in (bar := tqdm(names)):
        bar.set_description(name)
        try:
            row = measure(name)
        except (ValueError, RuntimeError) as error:
            row = {"model": name, "finite": False, "positive": False, "error": str(error)}
            tqdm.write(f"{name:24} {error}")
        else:
            tqdm.write(
                f"{name:24} {row['finite']!s:6} {row['positive']!s:8} {row['first / last - 1']:12.1e} "
                f"{row[SMALLEST_LAYER]:13.3g} {row[GREATEST_LAYER]:13.6f} {row['seconds']:7.1f}"
            )
        rows.append(row)
    good = sum(row["finite"] and row["positive"] for row in rows)
    print(f"finite, and positive exactly where weights are used and not zero: {good} of {len(rows)}")
    out: Path | None = options.out or (None if chosen else OUT)
    if out is not None:
        save(out, {"models": rows}, parser.prog)


if __name__ == "__main__":
    main()
