"""The networks that :mod:`benchmarks.speed.smaller` measures, and how they are pruned."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.prune import BasePruningMethod

from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import NETWORKS
from torch_synflow import prune

CLASSES, SIDE = 10, 32
#: shown name: the network among ``benchmarks.training.networks``, and the side of its images
SHOWN = {
    "VGG-16": ("vgg16_bn", SIDE),
    "ResNet-18": ("resnet18", SIDE),
    "ResNet-20": ("resnet20", SIDE),
    "ResNet-50": ("torchvision_resnet50", 64),
    "MobileNetV2": ("mobilenet_v2", SIDE),
    "ViT": ("small_vit", SIDE),
    "ConvNeXt": ("small_convnext", SIDE),
}
METHODS: dict[str, type[BasePruningMethod]] = {
    "SynFlow": prune.SynFlow,
    "BalancedSynFlow": prune.BalancedSynFlow,
    "SNIP": prune.SNIP,
    "magnitude": prune.L1Unstructured,
}
AMOUNTS = (0.9, 0.95, 0.99, 0.999)


def network(name: str) -> tuple[nn.Module, int]:
    """A network of the table, with the weights that it starts from, and the side of its images."""
    torch.manual_seed(0)
    key, side = SHOWN[name]
    model = NETWORKS[key](CLASSES, 3, side)
    # as Frankle et al. 2021: uniform gammas, by which SynFlow empties more neurons than by ones
    return (initialise(model, uniform_gamma=True) if key.startswith(("vgg", "resnet")) else model), side


def pruned(name: str, method: str, amount: float, iterations: int, device: torch.device) -> nn.Module:
    """The network with masks."""
    model, side = network(name)
    given: dict[str, Any] = {"example_inputs": torch.ones(1, 3, side, side, device=device)}
    if method in ("SynFlow", "BalancedSynFlow"):
        given["iterations"] = iterations
    elif method == "SNIP":
        images = torch.randn(10 * CLASSES, 3, side, side, device=device)
        labels = torch.arange(CLASSES, device=device).repeat(10)
        given |= {"data": (images, labels), "loss_fn": F.cross_entropy}
    else:
        given = {}
    model.to(device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", prune.EmptiedLayersWarning)  # the row says it
        prune.global_iterative_unstructured(model, METHODS[method], amount, **given)
    return model
