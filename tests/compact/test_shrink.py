"""The smaller network gives the same outputs, in evaluation and in training, for any input."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.compact.nets import NETS, made
from torch_synflow import prune


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETS)
def test_outputs_are_the_same_and_the_network_is_smaller(name: str, seed: int) -> None:
    model, x = made(name, seed)
    before = copy.deepcopy(model.state_dict())
    small = prune.shrink(model, x)
    assert size(small) < size(model)
    assert small.shrink_report.notes == ()
    for training in (False, True):
        for other in (x, torch.randn_like(x) if x.is_floating_point() else x.flip(0)):
            expected = model.train(training)(other)
            torch.testing.assert_close(small.train(training)(other), expected, rtol=1e-12, atol=1e-12)
        if not training:
            assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", NETS)
def test_outputs_are_the_same_in_single_precision(name: str) -> None:
    model, x = made(name, dtype=torch.float32)
    small = prune.shrink(model, x)
    for training in (False, True):
        expected = model.train(training)(x)
        torch.testing.assert_close(small.train(training)(x), expected, rtol=1e-5, atol=1e-5)
