"""FLOPs and passes: numbers worked out by hand, and torch's counter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from benchmarks.faults.fingerprint import fingerprint
from tests.cases import MODELS, ModelCase
from tests.masks import dense, distinct, mask_of
from torch_synflow import diagnostics, prune


def test_flops_worked_out_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    torch_prune.custom_from_mask(model[0], "weight", torch.ones(8, 3, 3, 3).index_fill(0, torch.tensor([1, 2]), 0))
    found = diagnostics.cost(model, torch.rand(5, 3, 6, 6))
    convolution, linear = 2 * 36 * 8 * 27, 2 * 288 * 4
    assert [(layer.flops, layer.sparse_flops) for layer in found.layers] == [
        (convolution, 0.75 * convolution),
        (linear, linear),
    ]
    assert (found.flops, found.sparse_flops) == (convolution + linear, 0.75 * convolution + linear)
    assert (found.parameters, found.kept_parameters) == (216 + 8 + 1152 + 4, 162 + 8 + 1152 + 4)
    assert (found.other_parameters, found.other_flops) == (12, 0)


@pytest.mark.parametrize("case", [case for case in MODELS if not case.half], ids=lambda case: case.name)
def test_all_flops_are_those_of_torchs_counter(case: ModelCase) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = case.build().eval()
    inputs = case.inputs()
    found = diagnostics.cost(model, inputs)
    one = tuple(part[:1] for part in inputs) if isinstance(inputs, tuple) else (inputs[:1],)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*one)
    assert found.flops == counter.get_total_flops()
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    kept = sum(
        int(mask_of(pair).sum()) if prune.is_pruned(pair[0]) else int(dense(pair).count_nonzero())
        for pair in distinct(model)
        if pair in prune.prunable_parameters(model)
    )  # zeros without a mask are not kept
    assert sum(layer.kept for layer in found.layers) == kept
    assert found.sparse_flops <= found.flops


def test_a_module_that_is_called_twice_costs_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(self.a(x))

    assert diagnostics.cost(Twice(), torch.rand(1, 4)).flops == 2 * 2 * 16


def test_what_is_no_layer_is_counted_as_other() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return x.transpose(0, 1) @ x

    assert diagnostics.cost(Product(), torch.rand(1, 4)).other_flops == 2 * 16


def test_passes_of_the_papers() -> None:
    """Tanaka et al. 2020, section 6: 100 for SynFlow; 1,000, 2,000 and 10,000 for SNIP and GraSP."""
    assert diagnostics.passes(prune.SynFlow) == 100
    for classes in (100, 200, 1000):
        for method in (prune.SNIP, prune.GraSP):
            assert diagnostics.passes(method, examples=10 * classes) == 10 * classes
    assert diagnostics.passes(prune.SNIP, examples=1000, iterations=100) == 100_000  # the rebuttal
    assert diagnostics.passes(prune.L1Unstructured) == diagnostics.passes(prune.RandomUnstructured) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pruning_method": prune.SNIP}, ValueError, "examples: SNIPUnstructured reads data"),
        ({"pruning_method": prune.SNIP, "examples": 0}, ValueError, "examples: expected at least 1, got 0"),
        ({"pruning_method": prune.SynFlow, "iterations": 0}, ValueError, "iterations: expected at least 1, got 0"),
        ({"pruning_method": "SNIP"}, TypeError, "pruning_method: expected a BasePruningMethod class, got 'SNIP'"),
    ],
)
def test_passes_name_wrong_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        diagnostics.passes(**arguments)


def test_cost_leaves_no_hook() -> None:
    model = nn.Linear(4, 2)
    before = fingerprint(model)
    with pytest.raises(RuntimeError):
        diagnostics.cost(model, torch.zeros(1, 5))
    assert fingerprint(model) == before
    assert F.linear(torch.ones(1, 4), model.weight).shape == (1, 2)
