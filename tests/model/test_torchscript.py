"""Modules in TorchScript, which runs no pruning hook."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torch_synflow import prune

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
X = torch.ones(1, 4)


def test_their_weights_are_left_out_and_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.Linear(4, 4)))
    with pytest.warns(UserWarning, match=r"lists 50% .* left out: 1\.weight \(in TorchScript; prune before scripting"):
        params = prune.prunable_parameters(model)
    assert params == [(model[0], "weight")]
    with pytest.raises(ValueError, match=r"1\.weight: .*TorchScript, which runs no pruning hook; prune before"):
        prune.global_iterative_unstructured([(model[1], "weight")], prune.L1Unstructured, 0.5, model=model)


def test_other_layers_are_pruned_where_nothing_is_scored() -> None:
    model = nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.Linear(4, 4)))
    pairs = [(model[0], "weight")]
    with pytest.raises(ValueError, match=r"^1: .*TorchScript, which cannot be scored; prune before torch\.jit\.script"):
        prune.global_iterative_unstructured(pairs, prune.SynFlow, 0.5, model=model, example_inputs=X)
    assert not prune.is_pruned(model[0])
    assert prune.global_iterative_unstructured(pairs, prune.L1Unstructured, 0.5, model=model).kept == 8
