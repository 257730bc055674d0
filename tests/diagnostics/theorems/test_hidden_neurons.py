"""Theorem 1 neuron by neuron, against finite differences, on layers of every kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import diagnostics


def numeric(model: nn.Module, tensor: Tensor, value: Any, step: float = 1e-5) -> Tensor:
    """``dR/dw * w`` of each entry by central differences."""
    result = torch.zeros_like(tensor)
    for k in range(tensor.numel()):
        flat = tensor.view(-1)
        original = float(flat[k])
        ends = []
        for sign in (1, -1):
            flat[k] = original + sign * step
            ends.append(float(value(model)))
        flat[k] = original
        result.view(-1)[k] = (ends[0] - ends[1]) / (2 * step) * original
    return result


@pytest.mark.parametrize("objective", ["SNIP", "SynFlow"])
def test_sums_of_neurons_are_those_of_finite_differences(objective: str) -> None:
    torch.manual_seed(1)
    layers = [nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2)]
    model = nn.Sequential(*layers).double()
    x, targets = torch.randn(5, 2, 3, 3).double(), torch.tensor([0, 1, 1, 0, 1])
    if objective == "SNIP":
        found = diagnostics.conservation(model, x, lambda outputs: F.cross_entropy(outputs, targets))

        def value(model: nn.Module) -> Tensor:
            return F.cross_entropy(model(x), targets)
    else:
        found = diagnostics.conservation(model, x)

        def value(model: nn.Module) -> Tensor:
            return model(torch.ones(1, 2, 3, 3).double()).sum()

    with torch.no_grad():
        if objective == "SynFlow":
            for parameter in model.parameters():
                parameter.abs_()
        by_name = {name: numeric(model, tensor, value) for name, tensor in model.named_parameters()}
    first, second = found.neurons
    conv = by_name["0.weight"].sum((1, 2, 3)) + by_name["0.bias"]
    reads_conv = by_name["3.weight"].reshape(4, 3, 4).sum((0, 2))
    linear = by_name["3.weight"].sum(1) + by_name["3.bias"]
    for hidden, incoming, outgoing in (
        (first, conv, reads_conv),
        (second, linear, by_name["5.weight"].sum(0)),
    ):
        torch.testing.assert_close(torch.tensor(hidden.incoming).double(), incoming, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(torch.tensor(hidden.outgoing).double(), outgoing, rtol=1e-6, atol=1e-8)
    cut = found.cut(["3"])
    assert cut.weights == pytest.approx(float(by_name["3.weight"].sum()), rel=1e-6)
    assert cut.biases == pytest.approx(float(by_name["3.bias"].sum() + by_name["5.bias"].sum()), rel=1e-6)


def test_in_place_operations_and_unbatched_inputs() -> None:
    layers = [
        nn.Conv2d(2, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=True),
        nn.Conv2d(3, 4, 3),
        nn.ReLU(inplace=True),
    ]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 4, 2)).double()
    found = diagnostics.conservation(model, torch.randn(3, 2, 4, 4).double(), lambda y: (y**2).sum())
    assert [(hidden.before, hidden.after) for hidden in found.neurons] == [(("0",), ("3",)), (("3",), ("6",))]
    assert found.error < 1e-12
    plain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    assert diagnostics.conservation(plain, torch.rand(3), lambda y: y.sum()).error < 1e-12


class Joined(nn.Module):
    """Dense connections: what two layers lead to is joined."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        return self.c(torch.cat([x, torch.relu(self.b(x))], 1))


def test_joined_channels_are_summed_over_all_neurons() -> None:
    found = diagnostics.conservation(Joined(), torch.rand(4, 3), lambda y: (y**2).sum())
    (hidden,) = found.neurons
    assert hidden.note == "summed over all neurons, because Cat moves channels"
    assert len(hidden.incoming) == 1
    assert hidden.error < 1e-12


def test_one_module_called_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(torch.relu(self.b(torch.relu(self.b(torch.relu(self.a(x)))))))

    found = diagnostics.conservation(Twice(), torch.rand(4, 3), lambda y: (y**2).sum())
    assert [(h.before, h.after) for h in found.neurons] == [(("a", "b"), ("b", "c"))]
    assert found.error < 1e-12


def test_a_model_without_hidden_neurons() -> None:
    found = diagnostics.conservation(nn.Linear(4, 2), torch.rand(3, 4))
    assert (found.neurons, found.error) == ((), 0.0)
    assert found.cut([""]).error < 1e-12
