"""Networks whose scores are computed in the precision of the weights first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torch_synflow import prune
from torch_synflow.flow.engine.contributions import Use
from torch_synflow.flow.engine.layers import RecordedLayer
from torch_synflow.flow.engine.tape import Slot, Step
from torch_synflow.flow.positive import PositiveNetwork
from torch_synflow.model.parameters import Entry, resolve
from torch_synflow.scoring.task import Task
from torch_synflow.selection.survivors import Survivors

X = torch.ones(1, 2, 6, 6)


def network_of(model: nn.Module, x: Tensor = X) -> tuple[list[Entry], Survivors, PositiveNetwork]:
    entries = resolve(prune.prunable_parameters(model), model)
    survivors = Survivors([entry.mask for entry in entries])
    return entries, survivors, prune.SynFlow.network(Task(model, x), entries, survivors.masks)


def conv_net() -> nn.Module:
    body = [nn.Conv2d(2, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 20, 3, bias=False), nn.ReLU()]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(80, 30), nn.ReLU(), nn.Linear(30, 4))


def used(positions: int, greatest: tuple[float, float] = (1.0, 1.0)) -> Use:
    """A use of a weight of two outputs and three inputs."""
    step = Step(nn.functional.linear, (Slot(0), Slot(1)), {}, (2,))
    layer = RecordedLayer(step, {1: torch.Size([2, 3]), 2: torch.Size([positions, 2])})
    return Use(layer, torch.ones(positions, 2).double(), torch.ones(positions, 3).double(), greatest)
