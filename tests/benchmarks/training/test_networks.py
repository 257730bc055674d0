"""The papers' networks have the published sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.training.networks import NETWORKS, pruned_parameters


@pytest.mark.parametrize(
    ("name", "classes", "channels", "size", "weights"),
    [
        ("lenet_300_100", 10, 1, 28, 784 * 300 + 300 * 100 + 100 * 10),
        ("resnet20", 10, 3, 32, 16 * 27 + 6 * 9 * 16**2 + 9 * (16 * 32 + 5 * 32**2) + 16 * 32
         + 9 * (32 * 64 + 5 * 64**2) + 32 * 64 + 640),
        ("vgg16_bn", 10, 3, 32, 14_715_584),
        ("resnet18", 10, 3, 32, 11_164_352),
        ("vgg19", 10, 3, 32, 20_024_000),
        ("vgg11_bn", 200, 3, 64, 9_217_728 + 2048 * 1024 + 1024**2 + 1024 * 200),
    ],
)  # fmt: skip
def test_networks_have_the_published_number_of_weights(
    name: str, classes: int, channels: int, size: int, weights: int
) -> None:
    model = NETWORKS[name](classes, channels, size).eval()
    found = sum(m.weight.numel() for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    assert found == weights
    assert model(torch.zeros(1, channels, size, size)).shape == (1, classes)


def test_the_large_vgg_has_the_weights_of_torchvisions() -> None:
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        ours, theirs = NETWORKS["vgg19_bn"](1000, 3, 224), models.vgg19_bn()

    def shapes(model: nn.Module) -> list[torch.Size]:
        return [m.weight.shape for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]

    assert shapes(ours) == shapes(theirs)


def test_the_wide_network_has_twice_the_channels_inside_of_its_blocks() -> None:
    plain, wide = (NETWORKS[name](10, 3, 32) for name in ("resnet18", "wide_resnet18"))
    pairs = zip(plain.named_parameters(), wide.parameters(), strict=True)
    inside = [(a.shape[0], b.shape[0]) for (name, a), b in pairs if "conv1" in name]
    assert len(inside) == 8
    assert all(b == 2 * a for a, b in inside)


def test_attention_is_pruned_where_the_name_says_so() -> None:
    pytest.importorskip("torchvision")
    model = NETWORKS["small_vit"](10, 3, 32)
    few, all_ = (pruned_parameters(name, model) for name in ("small_vit", "small_vit_attention"))
    assert (len(few), len(all_)) == (14, 20)
    fused = [getattr(*pair) for pair in all_ if pair[1] == "in_proj_weight"]
    assert [weight.shape for weight in fused] == [(3 * 128, 128)] * 6
    assert len(pruned_parameters("small_convnext", NETWORKS["small_convnext"](10, 3, 32))) == 28
    assert len(pruned_parameters("mobilenet_v2", NETWORKS["mobilenet_v2"](10, 3, 32))) == 53
