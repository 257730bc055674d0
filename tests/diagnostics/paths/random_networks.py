"""Random networks of every kind, pruned at random."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn


def random_network(kind: Callable[[], nn.Module], seed: int, density: float) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network whose layers are pruned at random, and its masks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind()
        masks = {}
        for name, module in model.named_children():
            if not isinstance(module, nn.BatchNorm2d):
                masks[name] = (torch.rand(module.weight.shape) < density).float()
                torch_prune.custom_from_mask(module, "weight", masks[name])
            else:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
                nn.init.normal_(module.running_mean)
    return model, masks
