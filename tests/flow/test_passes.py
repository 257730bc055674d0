"""Passes score as by definition on plain networks, and conserve flow on all others."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.flow.flows import IMAGE, totals, without_biases
from tests.flow.networks import SqueezeExcite
from torch_synflow import prune


def test_plain_networks_score_as_by_definition() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, groups=2, stride=2, dilation=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 3),
    ).eval()  # fmt: skip
    scores = prune.synflow_scores(model, IMAGE)
    positive = model.double()
    with torch.no_grad():
        for parameter in positive.parameters():
            parameter.abs_()
    positive(IMAGE.double()).sum().backward()
    for (module, name), score in scores.items():
        weight = getattr(module, name)
        torch.testing.assert_close(score.as_subclass(Tensor), weight.grad * weight.detach(), rtol=1e-12, atol=0)


def test_residual_layer_norm_and_group_norm_networks_are_conserved() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8)
            self.gamma = nn.Parameter(torch.full((8, 1, 1), -1e-3))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.gamma * F.gelu(self.conv(self.norm(x)))

    model = nn.Sequential(nn.Conv2d(3, 8, 3), Block(), Block(), nn.Flatten(), nn.LayerNorm(288), nn.Linear(288, 4))
    found = totals(without_biases(model), IMAGE)
    assert found["0"] == pytest.approx(found["5"], rel=1e-9)
    assert max(found.values()) == pytest.approx(found["5"], rel=1e-9)


def test_a_model_that_caches_between_passes() -> None:
    class Caching(SqueezeExcite):
        cache: Tensor | None = None

        def product(self, x: Tensor, scale: Tensor) -> Tensor:
            if self.cache is None:
                self.cache = self.fc1.weight.abs().sum().detach() * 0 + 1
            return x * scale * self.cache

    model = without_biases(nn.Sequential(nn.Conv2d(3, 8, 3), Caching(torch.sigmoid), nn.Flatten(), nn.Linear(288, 4)))
    found = totals(model, IMAGE)
    assert list(found.values()) == pytest.approx([found["3"]] * 4)
    assert model[1].cache is None


SMALL = [("mobilenet_v2", 32), ("mobilenet_v3_small", 32), ("efficientnet_b0", 32), ("regnet_y_400mf", 32)]
LARGE = [("densenet121", 32), ("convnext_tiny", 32), ("vit_b_32", 224), ("swin_t", 32), ("swin_v2_t", 64),
         ("maxvit_t", 224), ("googlenet", 224)]  # fmt: skip


@pytest.mark.parametrize(("name", "size"), [*SMALL, *(pytest.param(*c, marks=pytest.mark.slow) for c in LARGE)])
def test_torchvision_models_conserve_flow(name: str, size: int) -> None:
    models = pytest.importorskip("torchvision.models")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = without_biases(models.get_model(name)).eval()
        scores = prune.synflow_scores(model, torch.ones(1, 3, size, size))
    named = {module: key for key, module in model.named_modules()}
    sums = {named[module]: float(score.sum()) for (module, _), score in scores.items() if "aux" not in named[module]}
    (first, *_, last) = sums.values()
    assert first == pytest.approx(last, rel=1e-6)
    for (module, kind), score in scores.items():
        weight = getattr(module, kind)
        assert torch.isfinite(score).all()
        assert (score >= 0).all()
        assert sums.get(named[module], 0) <= (3 if re.search("qkv", named[module]) else 1 + 1e-6) * last
        if size == 224 and weight.any() and named[module] in sums:
            assert torch.equal(score > 0, weight != 0)
