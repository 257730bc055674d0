"""Compression ratios, and empty layers that are bypassed or collapsed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.models import Residual
from torch_synflow import diagnostics, prune


def test_numbers_worked_out_by_hand() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    prune.global_unstructured([(model[0], "weight")], prune.L1Unstructured, amount=20)
    state = diagnostics.compression(model)
    assert (state.ratio, state.max_ratio, state.collapsed) == (3.0, 15.0, ("0.weight",))
    prune.global_unstructured([(model[1], "weight")], prune.L1Unstructured, amount=10)
    state = diagnostics.compression(model)
    assert (state.ratio, state.collapsed) == (math.inf, ())
    assert str(state).endswith("max compression 15")


@pytest.mark.parametrize(
    ("emptied", "bypassed", "collapsed", "words"),
    [
        ([], (), (), "no layer empty"),
        (["shortcut.0"], ("shortcut.0.weight",), (), "1 of 5 layers empty (bypassed)"),
        (["conv1", "conv2"], ("conv1.weight", "conv2.weight"), (), "2 of 5 layers empty (bypassed)"),
        (["conv2", "shortcut.0"], (), ("conv2.weight", "shortcut.0.weight"), "2 of 5 layers empty (layer collapse)"),
        (["head"], (), ("head.weight",), "1 of 5 layers empty (layer collapse)"),
    ],
)
def test_a_bypassed_layer_has_not_collapsed(
    emptied: list[str], bypassed: tuple[str, ...], collapsed: tuple[str, ...], words: str
) -> None:
    model = Residual()
    for name in emptied:
        prune.random_unstructured(model.get_submodule(name), "weight", amount=1.0)
    state = diagnostics.compression(model, example_inputs=torch.ones(1, 3, 6, 6))
    assert (state.report.bypassed, state.report.collapsed, state.collapsed) == (bypassed, collapsed, collapsed)
    assert str(state).splitlines()[0].endswith(f"; {words}")
    unknown = diagnostics.compression(model)
    assert unknown.collapsed == tuple(f"{name}.weight" for name in emptied)  # without an input no path is known
    assert (unknown.report.bypassed, unknown.report.collapsed) == ((), ())
