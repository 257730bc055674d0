"""Weights that are normalised before they multiply."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from torch_synflow import prune


class Standardised(nn.Conv2d):
    """Weight standardisation, as ResNet-V2 of Big Transfer has it."""

    def weights(self) -> Tensor:
        flat = self.weight.reshape(1, len(self.weight), -1)
        return F.batch_norm(flat, None, None, training=True, momentum=0.0, eps=1e-8).reshape_as(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weights(), self.bias, padding=1)


class ByHand(Standardised):
    """The same, written out."""

    def weights(self) -> Tensor:
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        std = self.weight.std((1, 2, 3), keepdim=True)
        return (self.weight - mean) / (std + 1e-5)


class InOne(Standardised):
    def weights(self) -> Tensor:
        std, mean = torch.std_mean(self.weight, (1, 2, 3), keepdim=True)
        return (self.weight - mean) / (std + 1e-5)


class OverItsLength(Standardised):
    def weights(self) -> Tensor:
        return F.normalize(self.weight, dim=1)


@pytest.mark.parametrize("layer", [Standardised, ByHand, InOne, OverItsLength])
def test_normalised_weights_conserve_the_flow(layer: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        layer(3, 6, 3, bias=False), nn.ReLU(), layer(6, 6, 3, bias=False), nn.Flatten(), nn.Linear(96, 2, bias=False)
    )
    scores = prune.synflow_scores(model, torch.ones(1, 3, 4, 4))
    totals = [float(score.sum()) for score in scores.values()]
    assert all(bool((score > 0).all()) for score in scores.values())
    assert totals == pytest.approx([totals[-1]] * 3, rel=1e-9)
    report = prune.global_iterative_unstructured(model, prune.SynFlow, 0.7, example_inputs=torch.ones(1, 3, 4, 4))
    assert report.empty_layers == ()


def normed(norm: Any) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 6, 3, bias=False), nn.Linear(6, 2, bias=False)]
    first, second, last = map(norm, layers)
    return nn.Sequential(first, nn.ReLU(), second, nn.Flatten(), last)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of the older forms, where torch has such
@pytest.mark.parametrize(
    ("norm", "name"),
    [
        (parametrizations.weight_norm, "original1"),
        (nn.utils.weight_norm, "weight_v"),
        (lambda layer: nn.utils.weight_norm(layer, dim=None), "weight_v"),
        (parametrizations.spectral_norm, "original"),
    ],
)
def test_what_normed_weights_are_computed_of_conserves_the_flow(norm: Any, name: str) -> None:
    model = normed(norm)
    params = [(module, held) for module in model.modules() for held, _ in module.named_parameters(recurse=False)]
    params = [pair for pair in params if pair[1] == name]
    scores = prune.synflow_scores(model, torch.ones(1, 3, 5, 5), params)
    totals = [float(score.sum()) for score in scores.values()]
    assert len(totals) == 3
    assert totals == pytest.approx([totals[-1]] * 3, rel=1e-9)
    assert all(bool((score > 0).all()) for score in scores.values())


@pytest.mark.parametrize("layer", [Standardised, ByHand, InOne, OverItsLength])
def test_a_pass_with_normalised_weights_is_recorded(layer: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(
        layer(3, 6, 3, bias=False), nn.ReLU(), layer(6, 6, 3, bias=False), nn.Flatten(), nn.LazyLinear(2)
    )
    x = torch.ones(1, 3, 4, 4)
    model(x)
    with caplog.at_level(logging.INFO, "torch_synflow"):
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=x, iterations=3)
    assert "own code in each iteration" not in caplog.text
