"""Saliencies of every kind, and networks on which the theorems hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.cases import ModelCase


def with_offsets(case: ModelCase) -> nn.Module:
    """The network with biases, scales and running statistics that are not those of a fresh one."""
    model = case.build()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for tensor in (module.weight, module.bias, module.running_mean):
                    tensor.copy_(torch.randn(tensor.shape, generator=generator))
                module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return model


def saliency(name: str, case: ModelCase) -> dict[str, Any]:
    """Arguments of ``conservation`` for a named saliency."""
    targets = case.batch()[1]

    def loss(outputs: Any) -> Tensor:
        return case.loss_fn(outputs, targets)

    def cubes(outputs: Any) -> Tensor:
        leaves = outputs.values() if isinstance(outputs, dict) else outputs
        leaves = [outputs] if isinstance(outputs, Tensor) else leaves
        return sum((leaf**3 + leaf.sin()).sum() for leaf in leaves)

    arguments: dict[str, dict[str, Any]] = {
        "SynFlow": {},
        "SNIP": {"objective": loss},
        "GraSP": {"objective": loss, "along_gradient": True},
        "a function of one's own": {"objective": cubes},
        "its curvature": {"objective": cubes, "along_gradient": True},
    }
    return arguments[name]


SALIENCIES = ["SynFlow", "SNIP", "GraSP", "a function of one's own", "its curvature"]
