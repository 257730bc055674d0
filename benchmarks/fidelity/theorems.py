"""Theorems 1 and 2 of Tanaka et al. 2020 in float64 on the papers' networks: the greatest relative error."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import NETWORKS
from torch_synflow import diagnostics, prune
from torch_synflow.diagnostics.theorems.conservation import Conservation

TARGETS = torch.tensor([3, 7])


class GraSPAlone(prune.GraSP):
    """``w * Hg`` of the loss itself, in float64 and in evaluation mode, as the theorems are."""

    temperature: ClassVar[float] = 1.0
    training: ClassVar[bool] = False
    dtype: ClassVar[torch.dtype] = torch.float64


def loss(outputs: Any) -> Tensor:
    """The cross entropy of two images."""
    return F.cross_entropy(outputs, TARGETS)


SALIENCIES: dict[str, dict[str, Any]] = {
    "synflow": {},
    "snip": {"objective": loss},
    "grasp": {"objective": loss, "along_gradient": True},
}


def network(name: str, *, offsets: bool) -> nn.Module:
    """A network at initialisation; with offsets, its biases and BatchNorm's statistics are at random too."""
    torch.manual_seed(0)
    model = initialise(NETWORKS[name](10, 3, 32), uniform_gamma=True)
    if offsets:
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.bias.normal_()
                    module.running_mean.normal_()  # type: ignore[union-attr]
                    module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
                elif isinstance(module, nn.Linear):
                    module.bias.normal_()
    return model


def images() -> Tensor:
    """Two inputs; the theorems hold for any."""
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def cuts(model: nn.Module) -> list[list[str]]:
    """Sets of layers that separate input from output: single layers, or layers and their parallel shortcut."""
    layers = [name for name, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    found = [[name] for name in layers if "." not in name]
    for shortcut in (name for name in layers if "shortcut" in name):
        block = shortcut.split(".")[0]
        found += [[f"{block}.conv{number}", shortcut] for number in (1, 2)]
    return found


@lru_cache(maxsize=1)
def conserved(name: str, saliency: str) -> tuple[tuple[nn.Module, Conservation], ...]:
    """The conserved totals at initialisation and with offsets."""
    with torch.random.fork_rng(devices=[]):
        models = [network(name, offsets=offsets) for offsets in (False, True)]
    return tuple((m, diagnostics.conservation(m, images(), **SALIENCIES[saliency])) for m in models)


def theorem_1(name: str, saliency: str) -> float:
    """The greatest error at any hidden neuron."""
    return max(found.error for _, found in conserved(name, saliency))


def theorem_2(name: str, saliency: str) -> float:
    """The greatest error at any cut."""
    return max(found.cut(cut).error for model, found in conserved(name, saliency) for cut in cuts(model))


def grasp_alone(name: str) -> float:
    """How much the sums of ``w * Hg`` over the cuts differ, relative to the greatest; without any bias."""
    with torch.random.fork_rng(devices=[]):
        model = network(name, offsets=False)
    scores = GraSPAlone.scores(model, data=(images(), TARGETS), loss_fn=F.cross_entropy)
    modules = dict(model.named_modules())
    sums = [sum(float(scores[modules[layer], "weight"].sum()) for layer in cut) for cut in cuts(model)]
    return (max(sums) - min(sums)) / max(map(abs, sums))
