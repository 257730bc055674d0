"""Optimal Brain Damage: the Hessian's diagonal where networks are piecewise linear, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tests.methods.family import data, masks, mlp, vector
from torch_synflow import prune


def hessian_diagonal(model: nn.Module, batch: tuple[Tensor, Tensor], loss_fn: Any) -> Tensor:
    """Of the loss by all prunable weights, an element at a time."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    weights = {names[id(getattr(*pair))]: getattr(*pair).detach() for pair in prune.prunable_parameters(model)}
    found = []
    for name, weight in weights.items():

        def loss(value: Tensor, name: str = name) -> Tensor:
            return loss_fn(functional_call(model, {**weights, name: value}, (batch[0],)), batch[1])

        size = weight.numel()
        found.append(torch.autograd.functional.hessian(loss, weight).reshape(size, size).diagonal())
    return torch.cat(found)


def squares(model: nn.Module) -> Tensor:
    return torch.cat([getattr(*pair).detach().square().reshape(-1) for pair in prune.prunable_parameters(model)])


@pytest.mark.parametrize("loss_fn", [F.cross_entropy, lambda out, y: (out - F.one_hot(y, 3)).square().mean()])
def test_scores_are_of_the_hessians_own_diagonal_in_networks_of_relu(loss_fn: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(8, 3)
    ).double()
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    batch = (data()[0][:, None], data()[1])
    scores = vector(prune.OptimalBrainDamage.scores(model, data=batch, loss_fn=loss_fn))
    expected = hessian_diagonal(model.eval(), batch, loss_fn) * squares(model) / 2
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-14)


def test_the_networks_own_curvature_is_left_out() -> None:
    """Of a scalar network tanh(w x) and the loss z^2 / 2, h is (x tanh'(w x))^2, without z * tanh''(w x) * x^2."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Tanh()).double()
    nn.init.constant_(model[0].weight, 0.7)
    batch = (torch.full((1, 1), 2.0, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    scores = prune.OptimalBrainDamage.scores(model, data=batch, loss_fn=lambda out, _: out.square().sum() / 2)
    slope = 2 * (1 - torch.tanh(torch.tensor(1.4, dtype=torch.float64)) ** 2)
    assert float(scores[model[0], "weight"]) == pytest.approx(float(slope**2 * 0.49 / 2), rel=1e-12)


def test_how_data_are_cut_into_batches_does_not_matter() -> None:
    (x, y), model = data(), mlp()
    arguments = {"loss_fn": F.cross_entropy}
    whole = vector(prune.OptimalBrainDamage.scores(model, data=(x, y), **arguments))
    parts = list(zip(x.split(5), y.split(5), strict=True))
    torch.testing.assert_close(vector(prune.OptimalBrainDamage.scores(model, data=parts, **arguments)), whole)

    class AtOnce(prune.OptimalBrainDamage):
        batch_size = None

    torch.testing.assert_close(vector(AtOnce.scores(model, data=(x, y), **arguments)), whole, rtol=1e-6, atol=1e-12)
    assert float(whole.min()) >= 0


def test_the_lowest_are_pruned_by_the_loop() -> None:
    model, arguments = mlp(), {"data": data(), "loss_fn": F.cross_entropy}
    scores = vector(prune.OptimalBrainDamage.scores(model, **arguments))
    prune.global_iterative_unstructured(model, prune.OptimalBrainDamage, 60, **arguments)
    kept = masks(model)
    assert int((~kept).sum()) == 60
    assert scores[~kept].max() <= scores[kept].min()


def test_negative_curvature_of_a_loss_stays_signed() -> None:
    scores = vector(prune.OptimalBrainDamage.scores(mlp(), data=data(), loss_fn=lambda out, _: -out.square().mean()))
    assert float(scores.max()) <= 0 > float(scores.min())


class WithLoss(nn.Module):
    """Computes a loss of its own where it gets labels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.layer(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def test_a_models_own_loss_and_infinite_curvature_are_refused() -> None:
    x, y = data()
    with pytest.raises(ValueError, match=r"loss_fn: expected a function loss_fn\(outputs, targets\), got none"):
        prune.OptimalBrainDamage.scores(WithLoss(), data=[{"x": x.float(), "labels": y}])
    with pytest.raises(ValueError, match="data: expected finite second derivatives of the loss"):
        prune.OptimalBrainDamage.scores(
            mlp(), data=data(), loss_fn=lambda out, _: (out - out.detach()).abs().sqrt().sum()
        )
