"""Lazy layers, whose weights have no shape before the first pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torch_synflow import prune

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules")


def test_a_model_without_shapes_is_said_to_be_lazy() -> None:
    with pytest.warns(
        UserWarning, match=r"lists 0% .* left out: 0\.weight, 1\.weight \(lazy, .*; run the model once first\)$"
    ):
        assert prune.prunable_parameters(nn.Sequential(nn.LazyConv1d(4, 1), nn.LazyLinear(4))) == []


def test_a_lazy_layer_among_others_is_named_until_the_model_has_run() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(2))
    with pytest.warns(UserWarning, match=r"lists 100% .* that have a shape; left out: 1\.weight \(lazy, "):
        assert prune.prunable_parameters(model) == [(model[0], "weight")]
    model(torch.ones(1, 4))
    assert len(prune.prunable_parameters(model)) == 2
