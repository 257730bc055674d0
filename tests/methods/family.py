"""A small network with data, and its weights and gradients as lists."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import prune


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3)).double()


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(12, 6, dtype=torch.float64, generator=generator), torch.arange(12) % 3


def vector(scores: dict[Any, Tensor]) -> Tensor:
    return torch.cat([score.as_subclass(Tensor).reshape(-1) for score in scores.values()])


def masks(model: nn.Module) -> Tensor:
    return torch.cat([module.weight_mask.reshape(-1) > 0 for module, _ in prune.prunable_parameters(model)])


def gradients(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Of the weights of an unpruned model, by plain autograd."""
    weights = [module.weight for module, _ in prune.prunable_parameters(model)]
    found = torch.autograd.grad(F.cross_entropy(model(batch[0]), batch[1]), weights)
    return torch.cat([gradient.reshape(-1) for gradient in found])


def weights_of(model: nn.Module) -> Tensor:
    return torch.cat([module.weight.detach().reshape(-1) for module, _ in prune.prunable_parameters(model)]).clone()
