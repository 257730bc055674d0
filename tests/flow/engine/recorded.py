"""A network with something between its layers, recorded, and its scores by definition."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.flow.engine import narrow
from torch_synflow import prune
from torch_synflow.flow.positive import PositiveNetwork
from torch_synflow.model.parameters import Entry

X = torch.ones(1, 6)


class Body(nn.Module):
    """Two layers, and between them whatever a test is about."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.between(torch.relu(self.first(x))))

    def between(self, x: Tensor) -> Tensor:
        return x


def network_of(model: nn.Module, x: Tensor = X) -> tuple[list[Entry], PositiveNetwork]:
    entries, _, network = narrow.network_of(model, x)
    return entries, network


def by_definition(model: nn.Module, x: Tensor = X) -> list[Tensor]:
    """dR/dw * w of the network of absolute values, by autograd."""
    model.double()
    weights = [module.weight for module, _ in prune.prunable_parameters(model)]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    gradients = torch.autograd.grad(model.eval()(torch.ones_like(x[:1]).double()).sum(), weights)
    return [gradient * weight.detach() for gradient, weight in zip(gradients, weights, strict=True)]


class ByMatmulToo(Body):
    """A weight that is also used in another way than by its layer."""

    def between(self, x: Tensor) -> Tensor:
        return x + x @ (self.first.weight @ self.first.weight.T)


def model_again(*_: Any) -> Any:
    raise AssertionError("the recorded pass was not used")
