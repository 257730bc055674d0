"""Rows on single layers and on precision: appendices D.2 and J of Frankle et al. 2021."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from statistics import mean

import torch

from benchmarks.fidelity import precision
from benchmarks.fidelity.row import Result, Row
from benchmarks.sweep.trial import Trial

SOURCE = "Frankle et al. 2021, appendix {}"


def early_layers(masks: Result) -> list[tuple[str, float]]:
    """The sparsity in percent of the convolutions at the first width, which is that of the first convolution."""
    layers = masks["layers"]
    narrowest = {layers[0][2], layers[1][2]}  # of ResNet-20 all convolutions of the first stage have these sizes
    return [(name, 100 - 100 * kept / total) for name, kept, total in layers[:7] if total in narrowest]


def trend(masks: Result) -> float:
    """Mean sparsity of the second half of the convolutions less that of the first, in points, without shortcuts."""
    sparsities = [100 - 100 * kept / total for name, kept, total in masks["layers"][:-1] if "shortcut" not in name]
    middle = len(sparsities) // 2
    return float(mean(sparsities[middle:]) - mean(sparsities[:middle]))


def layer_rows(masks_of: Callable[[str, str, float], Trial], matching: Callable[[str], float]) -> list[Row]:
    """All of them.

    Args:
        masks_of: the trial of a network, a method and a density.
        matching: the highest matching density of a network.
    """
    density = matching("resnet20")
    pruned = f"ResNet-20, {100 - 100 * density:.1f} % pruned"

    def of(method: str) -> tuple[Trial, ...]:
        return (masks_of("resnet20", method, density),)

    def listed(masks: Result) -> str:
        return ", ".join(f"{name} {sparsity:.1f} %" for name, sparsity in early_layers(masks))

    def sparsities(masks: Result) -> list[float]:
        return [sparsity for _, sparsity in early_layers(masks)]

    def row(name: str, what: str, paper: str, low: float, high: float, method: str, value: Callable[..., float]) -> Row:
        return Row(
            name=name, what=f"{what}: {pruned}", source=SOURCE.format("J"), paper=paper, low=low, high=high,
            value=value, trials=of(method), bound=0, detail=listed if name.startswith("early") else None,
        )  # fmt: skip

    def early(method: str, title: str, paper: str, low: float, high: float, word: str) -> list[Row]:
        """By the mean of the early layers, and by the layer that is furthest from what the paper says."""
        furthest = max if word == "most" else min
        return [
            row(f"early/{method}/resnet20/mean", f"% pruned of the early layers by {title}, in the mean", paper, low,
                high, method, lambda masks: mean(sparsities(masks))),
            row(f"early/{method}/resnet20/each", f"% pruned of the early layer that {title} prunes {word}", paper, low,
                high, method, lambda masks: furthest(sparsities(masks))),
        ]  # fmt: skip

    rows = [
        *early("synflow", "SynFlow", "< 30", 0, 30, "most"),
        *early("grasp", "GraSP", "> 60", 60, 100, "least"),
        *(
            row(f"late/{method}/resnet20", f"% pruned by {title} in the later half of convolutions, less the earlier",
                "> 0", 0, math.inf, method, trend)
            for method, title in (("snip", "SNIP"), ("synflow", "SynFlow"))
        ),
        Row(name="late/grasp/resnet20", source=SOURCE.format("J"),
            what=f"the same difference by GraSP, less the smaller of SNIP's and SynFlow's: {pruned}",
            paper="< 0", low=-math.inf, high=0, bound=0,
            trials=(*of("grasp"), *of("snip"), *of("synflow")),
            value=lambda grasp, snip, synflow: trend(grasp) - min(trend(snip), trend(synflow))),
    ]  # fmt: skip
    for name, depths, said, what in (
        ("cifar", precision.CIFAR, 44, "the ResNets for CIFAR-10"),
        ("imagenet", precision.IMAGENET, 18, "torchvision's ResNets, input of 224x224"),
    ):
        rows.append(
            Row(
                name=f"precision/float32/{name}", source=SOURCE.format("D.2"), paper=str(said), low=said, high=said,
                what=f"depth to which SynFlow's R is finite in float32, of {what}", bound=0,
                value=partial(precision.deepest, depths),
                detail=lambda depths=depths: f"of depths {', '.join(map(str, depths))}; in float64 all to "
                f"{precision.deepest(depths, torch.float64):g}",
            )
        )  # fmt: skip
    return rows
