"""Where SynFlow's flow leaves single precision (Frankle et al. 2021, appendix D.2)."""

from __future__ import annotations

import torch

from benchmarks.sweep.choice import split
from benchmarks.sweep.start import new_network
from benchmarks.sweep.trial import Trial
from benchmarks.training.kinds import KINDS
from benchmarks.training.recipes import frankle

CIFAR = {20: "cifar10/resnet20", 32: "cifar10/resnet32", 44: "cifar10/resnet44", 56: "cifar10/resnet56",
         110: "cifar10/resnet110"}  # fmt: skip
IMAGENET = {18: "imagenet/torchvision_resnet18", 34: "imagenet/torchvision_resnet34",
            50: "imagenet/torchvision_resnet50"}  # fmt: skip


def is_finite(pair: str, dtype: torch.dtype, seed: int = 0) -> bool:
    """Whether R is finite in a plain pass of ones with absolute weights, without separate exponents."""
    dataset, network = split(pair)
    trial = Trial(measure="masks", dataset=dataset, network=network, recipe=frankle(dataset, network), seed=seed)
    model = new_network(trial).to(dtype).eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.abs_()
        return bool(torch.isfinite(model(torch.ones(1, *KINDS[dataset].shape, dtype=dtype)).sum()))


def deepest(depths: dict[int, str], dtype: torch.dtype = torch.float32) -> float:
    """The depth before the first network that is not finite."""
    last = 0
    for depth, pair in depths.items():
        if not is_finite(pair, dtype):
            break
        last = depth
    return float(last)
