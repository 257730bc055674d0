"""GraSP against an explicit Hessian, and by hand; both derivatives see the same data and the same dropout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from tests.scoring.closed_forms import close, data, mlp
from torch_synflow import prune


def dense_grasp(model: nn.Module, inputs: Tensor, targets: Tensor, temperature: float) -> dict[Any, Tensor]:
    """W * H g with the whole Hessian of all weights written out."""
    names = ["0.weight", "2.weight"]
    shapes = [model.get_parameter(name).shape for name in names]
    sizes = [shape.numel() for shape in shapes]
    others = {name: p.detach() for name, p in model.named_parameters() if name not in names}

    def loss(vector: Tensor) -> Tensor:
        parts = {n: v.view(s) for n, v, s in zip(names, vector.split(sizes), shapes, strict=True)}
        return F.cross_entropy(functional_call(model, {**others, **parts}, (inputs,)) / temperature, targets)

    flat = torch.cat([model.get_parameter(name).detach().reshape(-1) for name in names])
    gradient = torch.autograd.functional.jacobian(loss, flat)
    hessian = torch.autograd.functional.hessian(loss, flat)
    products = (flat * (hessian @ gradient)).split(sizes)
    return {
        (model.get_submodule(name.removesuffix(".weight")), "weight"): product.view(shape)
        for name, product, shape in zip(names, products, shapes, strict=True)
    }


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp_is_an_explicit_hessian_times_gradient(temperature: float) -> None:
    """Frankle et al. 2021, appendix C.1, equation 4, with the sign of "higher means keep"."""
    model = mlp(5, 7, 3)
    inputs, targets = data()

    class AtTemperature(prune.GraSP):
        pass

    AtTemperature.temperature = temperature
    scores = AtTemperature.scores(model, data=(inputs, targets), loss_fn=F.cross_entropy)
    close(scores, dense_grasp(model, inputs, targets, temperature), rtol=1e-8)
    assert any((score.as_subclass(Tensor) < 0).any() for score in scores.values())


def test_grasp_by_hand() -> None:
    model = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, -2.0], [0.5, 1.0]]))
    batch = (torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    # outputs o = (-1, 2.5); at temperature T, L = sum (o / T)^2, each row of g is 2 o x / T^2, its H is 2 x x^T / T^2,
    # and so its Hg is 4 |x|^2 o x / T^4 = 20 o x / T^4: (-20, -40) and (50, 100)
    scores = prune.grasp_scores(model, batch, lambda out, _: out.square().sum())[model, "weight"] * 200.0**4
    torch.testing.assert_close(
        scores.as_subclass(Tensor), torch.tensor([[-60.0, 80.0], [25.0, 100.0]], dtype=torch.float64)
    )


def test_grasp_removes_the_highest_of_minus_w_hg() -> None:
    model = mlp(5, 7, 3)
    inputs, targets = data()
    removal = torch.cat([-s.reshape(-1) for s in dense_grasp(model, inputs, targets, 200.0).values()])
    prune.global_iterative_unstructured(model, prune.GraSP, 20, data=(inputs, targets), loss_fn=F.cross_entropy)
    pruned = torch.cat([model[i].weight_mask.reshape(-1) == 0 for i in (0, 2)])
    assert removal[pruned].min() >= removal[~pruned].max()


def test_grasp_reads_a_shuffling_loader_once() -> None:
    """BatchNorm makes the loss depend on which examples share a batch: two passes must see the same ones."""
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3)).double()
    inputs, targets = data()
    drawn: list[list[Any]] = []

    class Recording(DataLoader[Any]):
        def __iter__(self) -> Any:
            drawn.append([])
            for batch in super().__iter__():
                drawn[-1].append(batch)
                yield batch

    loader = Recording(TensorDataset(inputs, targets), batch_size=4, shuffle=True)
    scores = prune.grasp_scores(model, loader, F.cross_entropy)
    assert len(drawn) == 1
    close(prune.grasp_scores(model, drawn[0], F.cross_entropy), {k: v.as_subclass(Tensor) for k, v in scores.items()})


def test_grasp_uses_the_same_dropout_for_both_gradients() -> None:
    """With one mask for both, H g is the derivative of the gradient along itself at that mask."""
    model = nn.Sequential(nn.Linear(5, 40), nn.Dropout(0.5), nn.Linear(40, 3)).double()
    inputs, targets = data()
    torch.manual_seed(3)
    scores = prune.grasp_scores(model, (inputs, targets), F.cross_entropy)

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.register_buffer("mask", F.dropout(torch.ones(12, 40, dtype=torch.float64), 0.5))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.mask

    fixed = nn.Sequential(model[0], Fixed(), model[2])
    close(
        prune.grasp_scores(fixed, (inputs, targets), F.cross_entropy), dense_grasp(fixed, inputs, targets, 200.0), 1e-8
    )
    close(scores, dense_grasp(fixed, inputs, targets, 200.0), 1e-8)


@pytest.mark.parametrize("size", [None, 6])
def test_grasp_has_the_same_dropout_in_both_derivatives(size: int | None) -> None:
    """By an explicit Hessian under the dropout that the same random state draws."""

    class AtOne(prune.GraSP):
        temperature = 1.0
        batch_size = size

    model = nn.Sequential(nn.Linear(5, 7, bias=False), nn.Dropout(0.5), nn.Linear(7, 3, bias=False)).double()
    inputs, targets = data()
    shapes = [model[0].weight.shape, model[2].weight.shape]

    def loss(vector: Tensor) -> Tensor:
        torch.manual_seed(5)
        first, second = (v.view(s) for v, s in zip(vector.split([35, 21]), shapes, strict=True))
        parts = []
        for x, y in zip(inputs.split(size or 12), targets.split(size or 12), strict=True):
            hidden = F.dropout(x @ first.T, 0.5, training=True)
            parts.append(F.cross_entropy(hidden @ second.T, y))
        return torch.stack(parts).mean()

    flat = torch.cat([model[0].weight.detach().reshape(-1), model[2].weight.detach().reshape(-1)])
    gradient = torch.autograd.functional.jacobian(loss, flat)
    reference = flat * (torch.autograd.functional.hessian(loss, flat) @ gradient)
    torch.manual_seed(5)
    scores = AtOne.scores(model, data=(inputs, targets), loss_fn=F.cross_entropy)
    ours = torch.cat([score.as_subclass(Tensor).reshape(-1) for score in scores.values()])
    torch.testing.assert_close(ours, reference, rtol=1e-8, atol=1e-14)


def test_grasp_of_a_loss_without_curvature_in_some_weights() -> None:
    """A gradient that depends on no weight has a Hessian of zero, wherever it is."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bent, self.straight = nn.Linear(5, 3, bias=False), nn.Linear(5, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.bent(x).square() + self.straight(x)

    model = Two().double()
    inputs, targets = data()
    batch = (inputs, targets)
    scores = prune.GraSP.scores(model, [(model.bent, "weight")], data=batch, loss_fn=lambda out, _: out.mean())
    assert bool(scores[model.bent, "weight"].any())
    with pytest.raises(ValueError, match=r"straight\.weight: every one of its GraSP"):
        prune.grasp_scores(model, batch, lambda out, _: out.mean())
    with pytest.raises(ValueError, match=r"straight\.weight: every one of its GraSP"):
        prune.GraSP.scores(model, [(model.straight, "weight")], data=batch, loss_fn=lambda out, _: out.mean())
