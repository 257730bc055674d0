"""A network whose layers differ in size, and what is kept of each."""

from __future__ import annotations

import torch
from torch import nn

from tests.masks import masks_of


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, (3, 5), groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
    )


def kept(model: nn.Module) -> list[int]:
    return [int(mask.sum()) for mask in masks_of(model)]
