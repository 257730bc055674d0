"""SynFlow on a network with sums is the published algorithm: the same masks as a loop that uses autograd alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from torch_synflow import prune

ITERATIONS = 12


class Block(nn.Module):
    """Two convolutions and a shortcut, which has weights if the width changes."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))
        self.shortcut = nn.Identity() if before == width else nn.Conv2d(before, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(inner)) + self.shortcut(x))


def residual(seed: int) -> nn.Sequential:
    """With scales and biases of normalisation that are not ones and zeros."""
    torch.manual_seed(seed)
    blocks = [Block(6, 6), Block(6, 12), Block(12, 12)]
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)
    )
    for norm in [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return model.double()


def algorithm_1(model: nn.Module, x: Tensor, density: float) -> list[Tensor]:
    """Tanaka et al. 2020, algorithm 1, with the exponential schedule of section 6; nothing of this package."""
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.abs_()
    weights = [module.weight for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    kept = torch.ones(sum(weight.numel() for weight in weights), dtype=torch.bool)
    left = len(kept) - round((1 - density) * len(kept))
    dense = [weight.detach().clone() for weight in weights]
    sizes = [weight.numel() for weight in weights]
    for iteration in range(1, ITERATIONS + 1):
        for weight, value, mask in zip(weights, dense, kept.split(sizes), strict=True):
            weight.data = value * mask.view_as(value)
        gradients = torch.autograd.grad(model(torch.ones_like(x, dtype=torch.float64)).sum(), weights)
        scores = torch.cat([(g * w).detach().reshape(-1) for g, w in zip(gradients, weights, strict=True)])
        places = kept.nonzero().squeeze(1)
        highest = scores[places].sort(descending=True, stable=True).indices
        kept[places[highest[round((left / len(kept)) ** (iteration / ITERATIONS) * len(kept)) :]]] = False
    return [mask.view_as(value) for mask, value in zip(kept.split(sizes), dense, strict=True)]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("density", [0.5, 0.1, 0.02])
def test_masks_of_a_residual_network_are_those_of_algorithm_1(seed: int, density: float) -> None:
    model, x = residual(seed), torch.rand(1, 3, 8, 8)
    expected = algorithm_1(model, x, density)
    parameters = prune.prunable_parameters(model, example_inputs=x)
    prune.global_iterative_unstructured(parameters, prune.SynFlow, 1 - density, iterations=ITERATIONS)
    for (layer, _), mask in zip(parameters, expected, strict=True):
        assert torch.equal(layer.weight_mask.bool(), mask)
