"""Forward passes that write in place are followed as any others; gates are open where anything opens them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import diagnostics, prune


class TwoPreactivations(nn.Module):
    """Both branches normalise what they read and rectify that in place, as a dual path network does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 1)
        self.first = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))
        self.second = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.first(x) + self.second(x)


def test_two_activations_in_place_behind_norms_of_one_tensor() -> None:
    torch.manual_seed(0)
    model, x = TwoPreactivations().eval(), torch.rand(1, 2, 3, 3)
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=x, iterations=2)
    found = diagnostics.trainability(model, x)
    assert found.verdict.startswith("every output has a path from the input")


class Gated(nn.Module):
    def __init__(self, *, product: bool) -> None:
        super().__init__()
        self.product = product
        self.gate, self.value, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.value(x), F.relu(self.gate(x))
        return self.last(gate @ value.transpose(1, 2) if self.product else value * gate)  # type: ignore[no-any-return]


@pytest.mark.parametrize("product", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_bias_opens_a_gate_without_weights(product: bool, bias: bool) -> None:
    model, x = Gated(product=product), torch.rand(1, 4, 4)
    prune.custom_from_mask(model.gate, "weight", torch.zeros(4, 4))
    nn.init.constant_(model.gate.bias, float(bias))
    found = diagnostics.trainability(model, x)
    assert found.reached == (8 if bias else 0)
    assert found.effective[found.layers.index("value.weight")] == float(bias)
    assert bool((model(x) - model(x + 1)).any()) == bias  # as the model itself has it
