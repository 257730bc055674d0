"""Initialisations draw the variances that they say, and leave to torch what the authors leave to it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from benchmarks.training.initialisations import INITIALISATIONS, initialise
from benchmarks.training.networks import NETWORKS, WITHOUT_BATCHNORM


@pytest.mark.parametrize("uniform_gamma", [False, True])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "xavier", "variance_one"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_every_initialisation(name: str, mode: str, uniform_gamma: bool) -> None:
    if name.startswith(("torchvision", "small_vit", "small_convnext", "mobilenet")):
        pytest.importorskip("torchvision")
    model = initialise(NETWORKS[name](10, 3, 32), mode=mode, uniform_gamma=uniform_gamma)
    gammas = [m.weight.detach() for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert bool(gammas) == (name not in WITHOUT_BATCHNORM)
    assert all(bool(((gamma >= 0) & (gamma < 1) if uniform_gamma else gamma == 1).all()) for gamma in gammas)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.weight.numel() > 20_000:
            outputs, area = len(module.weight), module.weight[0, 0].numel()
            fans = {"fan_in": module.weight[0].numel(), "fan_out": outputs * area}
            fans["xavier"] = fans["fan_in"] + fans["fan_out"]
            variance = 2 / fans[mode] if mode in fans else 1.0
            assert float(module.weight.detach().var()) == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize(("mode", "variance"), [("fan_in", 2 / 300), ("fan_out", 2 / 200), ("variance_one", 1.0)])
def test_initialisations(mode: str, variance: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 200), nn.BatchNorm2d(4000))
    initialise(model, mode=mode, uniform_gamma=True)
    assert math.isclose(float(model[0].weight.detach().var()), variance, rel_tol=0.03)
    assert not bool(model[0].bias.detach().any())
    gamma = model[1].weight.detach()
    assert 0 <= float(gamma.min()) < 0.01
    assert 0.99 < float(gamma.max()) <= 1
    assert torch.equal(initialise(model)[1].weight, torch.ones(4000))  # type: ignore[index]


@pytest.mark.parametrize("mode", [mode for mode, draws in INITIALISATIONS.items() if draws is not None])
def test_convolutions_and_linear_layers_start_each_as_they_should(mode: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(64, 128, 3), nn.Linear(300, 200))
    drawn = model[1].weight.detach().clone()
    convolution, linear = initialise(model, mode=mode)
    normal = {"variance_one": (1.0, 1.0), "xavier": (2 / (192 * 9), 2 / 500), "fan_in": (2 / 576, 2 / 300)}
    normal |= {"fan_out": (2 / 1152, 2 / 200), "fan_out_small_linear": (2 / 1152, 1e-4)}
    expected = normal.get(mode, (2 / 1152, 1 / 900))  # torch's own is uniform within one over the root of the inputs
    assert math.isclose(float(convolution.weight.detach().var()), expected[0], rel_tol=0.03)
    assert math.isclose(float(linear.weight.detach().var()), expected[1], rel_tol=0.03)
    untouched = mode == "fan_out_convolutions"
    assert torch.equal(linear.weight.detach(), drawn) == untouched
    assert bool(linear.bias.detach().any()) == untouched
