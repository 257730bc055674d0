"""Synaptic saliency of any scalar of the outputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.methods.family import data, mlp
from torch_synflow import prune


def test_synaptic_saliency_is_conserved_at_every_unit_for_any_scalar() -> None:
    """Tanaka et al. 2020, theorem 1, without biases: what comes into a hidden unit goes out of it."""
    model = nn.Sequential(nn.Linear(6, 10, bias=False), nn.ReLU(), nn.Linear(10, 3, bias=False)).double()
    scores = prune.SynapticSaliency.scores(model, data=data(), loss_fn=lambda out, _: out.pow(3).sum().sin())
    into, out_of = scores[model[0], "weight"].sum(1), scores[model[2], "weight"].sum(0)
    assert bool(into.any())
    torch.testing.assert_close(into.as_subclass(Tensor), out_of.as_subclass(Tensor), rtol=1e-9, atol=1e-12)


def test_a_method_of_a_users_own_scalar_is_five_lines() -> None:
    class Power(prune.SaliencyUnstructured):
        needs = ("example_inputs",)

        @classmethod
        def saliency(cls, network: Any) -> dict[str, Tensor]:
            x = network.prepared(network.task.example_inputs)
            gradients = network.gradient(lambda weights: network(weights, x).square().sum())
            return {name: gradient * network.weights[name] for name, gradient in gradients.items()}

    model = nn.Linear(2, 2, bias=False).double()
    model.weight.data.copy_(torch.tensor([[1.0, -2.0], [0.5, 4.0]]))
    # outputs (1, 5.5), dR/dw = 2 out_i x_j = [[6, 2], [33, 11]]
    scores = Power.scores(model, example_inputs=torch.tensor([[3.0, 1.0]]))
    assert scores[model, "weight"].tolist() == [[6.0, -4.0], [16.5, 44.0]]
    report = prune.global_iterative_unstructured(model, Power, 2, example_inputs=torch.tensor([[3.0, 1.0]]))
    assert report.kept == 2
    assert model.weight_mask.tolist() == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("scalar", "error", "message"),
    [
        (lambda out: 1.0, TypeError, "function: expected a scalar tensor, got float"),
        (lambda out: out, ValueError, r"function: expected a scalar, got a tensor of shape \(12, 3\)"),
        (lambda out: out.sum().detach(), ValueError, "function: expected a scalar that depends on the model's outputs"),
    ],
)
def test_scalars_that_have_no_gradient(scalar: Any, error: type[Exception], message: str) -> None:
    class Odd(prune.SaliencyUnstructured):
        needs = ("example_inputs",)

        @classmethod
        def saliency(cls, network: Any) -> Any:
            return network.gradient(lambda weights: scalar(network(weights, network.task.example_inputs)))

    model = mlp()
    with pytest.raises(error, match=message):
        prune.global_iterative_unstructured(model, Odd, 0.5, example_inputs=data()[0])
    assert not prune.is_pruned(model)
