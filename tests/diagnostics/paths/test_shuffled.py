"""The effect of shuffling masks within layers on what is of use."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.diagnostics.paths.brute_force import KINDS, Mlp
from tests.diagnostics.paths.random_networks import random_network
from torch_synflow import ablations, diagnostics


def test_shuffled_effects_draw() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    one = diagnostics.EffectiveSparsity((diagnostics.EffectiveLayer("a", 2, 3, 4),))
    diagnostics.ShuffledEffect(one, one).draw(ax)
    assert len(ax.patches) == 2
    pyplot.close(figure)


@pytest.mark.parametrize("kind", KINDS)
def test_shuffled_effect(kind: Callable[[], nn.Module]) -> None:
    model, _ = random_network(kind, 3, 0.4)
    x = torch.rand(1, *model.shape)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    effect = diagnostics.shuffled_effect(model, x, generator=torch.Generator().manual_seed(5))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert effect.before == diagnostics.effective_sparsity(model, x)
    ablations.shuffle_masks(model, generator=torch.Generator().manual_seed(5))
    assert effect.after == diagnostics.effective_sparsity(model, x)
    assert effect.ratio == effect.after.effective / effect.before.effective


def test_the_ratio_at_its_ends() -> None:
    some = diagnostics.EffectiveSparsity((diagnostics.EffectiveLayer("a", 2, 3, 4),))
    none = diagnostics.EffectiveSparsity((diagnostics.EffectiveLayer("a", 0, 3, 4),))
    assert diagnostics.ShuffledEffect(none, some).ratio == math.inf
    assert diagnostics.ShuffledEffect(none, none).ratio == 1
    assert diagnostics.ShuffledEffect(some, none).ratio == 0


def test_shuffling_an_unpruned_model_is_an_error() -> None:
    with pytest.raises(ValueError, match="model: expected a mask"):
        diagnostics.shuffled_effect(Mlp(), torch.rand(1, 3))
