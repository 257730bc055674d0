"""The relatives of SNIP and GraSP: by hand, against each other, and FORCE against a loop that is written out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from torch_synflow import prune


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3)).double()


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(12, 6, dtype=torch.float64, generator=generator), torch.arange(12) % 3


def vector(scores: dict[Any, Tensor]) -> Tensor:
    return torch.cat([score.as_subclass(Tensor).reshape(-1) for score in scores.values()])


def masks(model: nn.Module) -> Tensor:
    return torch.cat([module.weight_mask.reshape(-1) > 0 for module, _ in prune.prunable_parameters(model)])


def gradients(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Of the weights of an unpruned model, by plain autograd."""
    weights = [module.weight for module, _ in prune.prunable_parameters(model)]
    found = torch.autograd.grad(F.cross_entropy(model(batch[0]), batch[1]), weights)
    return torch.cat([gradient.reshape(-1) for gradient in found])


def set_weights(model: nn.Module, flat: Tensor) -> None:
    offset = 0
    for module, _ in prune.prunable_parameters(model):
        size = module.weight.numel()
        module.weight.data.copy_(flat[offset : offset + size].view_as(module.weight))
        offset += size


def weights_of(model: nn.Module) -> Tensor:
    return torch.cat([module.weight.detach().reshape(-1) for module, _ in prune.prunable_parameters(model)]).clone()


# --- scores -------------------------------------------------------------------------------------------------


def test_variants_are_what_their_formulas_say() -> None:
    model, arguments = mlp(), {"data": data(), "loss_fn": F.cross_entropy}
    gradient, weights = gradients(model, data()), weights_of(model)
    grasp = vector(prune.GraSP.scores(model, **arguments))
    for method, expected in (
        (prune.GraSPLowest, -grasp),
        (prune.GraSPMagnitude, grasp.abs()),
        (prune.IterativeSNIP, (gradient * weights).abs()),
        (prune.FORCE, (gradient * weights).abs()),
        (prune.GraSPIt, gradient**2),
        (prune.SynapticSaliency, gradient * weights),
        (prune.TaylorFO, (gradient * weights) ** 2),
    ):
        torch.testing.assert_close(vector(method.scores(model, **arguments)), expected, rtol=1e-10, atol=1e-18)


def test_variants_of_grasp_prune_the_highest_the_lowest_and_the_lowest_magnitude() -> None:
    arguments = {"data": data(), "loss_fn": F.cross_entropy}
    removal = -vector(prune.GraSP.scores(mlp(), **arguments))  # the paper's score, -w * Hg
    for method, ranked in (
        (prune.GraSP, removal),
        (prune.GraSPLowest, -removal),
        (prune.GraSPMagnitude, -removal.abs()),
    ):
        model = mlp()
        prune.global_iterative_unstructured(model, method, 50, **arguments)
        kept = masks(model)
        assert int((~kept).sum()) == 50
        assert ranked[~kept].min() >= ranked[kept].max()


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


# --- iterations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "iterations"),
    [(prune.IterativeSNIP, 100), (prune.FORCE, 60), (prune.GraSPIt, 60), (prune.TaylorFO, 1), (prune.GraSPLowest, 1)],
)
def test_default_iterations(method: Any, iterations: int) -> None:
    steps: list[int] = []
    report = prune.global_iterative_unstructured(
        mlp(), method, 0.8, data=data(), loss_fn=F.cross_entropy, callback=lambda step, _: steps.append(step)
    )
    assert steps == list(range(1, iterations + 1))
    assert report.kept == 33


def force_written_out(model: nn.Module, batch: tuple[Tensor, Tensor], counts: list[int], alive: Tensor) -> list[Tensor]:
    """De Jorge et al. 2020, by ``argsort``: the mask after each iteration."""
    dense = weights_of(model) * alive
    kept, found = alive, []
    for count in counts:
        set_weights(model, dense * kept)
        score = (gradients(model, batch) * dense).abs().masked_fill(~alive, -1)
        kept = torch.zeros_like(alive)
        kept[score.argsort(descending=True, stable=True)[:count]] = True
        found.append(kept)
    return found


@pytest.mark.parametrize("earlier", [0.0, 0.3])
def test_force_is_the_loop_of_its_paper(earlier: float) -> None:
    """And weights do return, though none that an earlier call has pruned, and no more than the count is kept."""
    model, copied, alive = mlp(), mlp(), torch.ones(60 + 80 + 24, dtype=torch.bool)
    if earlier:
        prune.global_unstructured(prune.prunable_parameters(model), prune.L1Unstructured, amount=earlier)
        alive = masks(model)
    counts: list[int] = []
    seen: list[tuple[int, ...]] = []

    def callback(step: int, report: prune.PruningReport) -> None:
        counts.append(report.kept)
        seen.append(tuple(layer.kept for layer in report.layers))

    report = prune.global_iterative_unstructured(
        model, prune.FORCE, 0.9, data=data(), loss_fn=F.cross_entropy, iterations=10, callback=callback
    )
    expected = force_written_out(copied, data(), counts, alive)
    assert torch.equal(masks(model), expected[-1])
    assert seen == [tuple(int(part.sum()) for part in mask.split([60, 80, 24])) for mask in expected]
    assert any(bool((after & ~before).any()) for before, after in pairwise(expected))
    assert not bool((masks(model) & ~alive).any())
    left = int(alive.sum())
    assert report.kept == left - round(0.9 * left) == int(masks(model).sum())


def test_force_reads_dead_channels_too() -> None:
    """A unit whose incoming weights are all left out still has gradients there, so that they can return."""

    class Shown(prune.FORCE):
        seen: list[Tensor] = []  # noqa: RUF012

        @classmethod
        def saliency(cls, network: Any) -> dict[str, Tensor]:
            scores = super().saliency(network)
            cls.seen.append(torch.stack([(score > 0).sum() for score in scores.values()]))
            return scores

    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(6, 30), nn.Tanh(), nn.Linear(30, 3)).double()
    prune.global_iterative_unstructured(model, Shown, 0.95, data=data(), loss_fn=F.cross_entropy, iterations=8)
    hidden = model[0].weight_mask.any(1)
    assert not bool(hidden.all())
    # only what lies behind a weight of the second layer that was left out has no gradient
    assert int(Shown.seen[-1][1]) == 90
    assert int(Shown.seen[-1][0]) < 180


def test_pruned_entries_of_grasp_it_may_return_where_a_subclass_says_so() -> None:
    class Returning(prune.GraSPIt):
        pruned_may_return = True

    arguments = {"data": data(), "loss_fn": F.cross_entropy, "iterations": 10}
    model, other = mlp(), mlp()
    first = prune.global_iterative_unstructured(model, prune.GraSPIt, 0.8, **arguments)
    second = prune.global_iterative_unstructured(other, Returning, 0.8, **arguments)
    assert first.kept == second.kept == 33
    assert not torch.equal(masks(model), masks(other))


# --- fresh data ---------------------------------------------------------------------------------------------


class Draws:
    """As the documentation has it: one fresh batch an iteration."""

    def __init__(self) -> None:
        self.drawn: list[Tensor] = []

    def __iter__(self) -> Iterator[Any]:
        batch = prune.class_balanced_batch(TensorDataset(*data()), 2)
        self.drawn.append(batch[0])
        yield batch


@pytest.mark.parametrize("method", [prune.IterativeSNIP, prune.FORCE, prune.GraSPIt])
def test_each_iteration_reads_fresh_data_where_the_loader_gives_it(method: Any) -> None:
    draws = Draws()
    prune.global_iterative_unstructured(mlp(), method, 0.5, data=draws, loss_fn=F.cross_entropy, iterations=5)
    assert len(draws.drawn) == 5
    assert any(not torch.equal(draws.drawn[0], other) for other in draws.drawn[1:])


def test_a_shuffling_loader_gives_other_batches_each_iteration() -> None:
    order: list[list[float]] = []
    model = mlp()
    model.register_forward_pre_hook(lambda module, inputs: order.append(inputs[0][:, 0].tolist()))
    loader = DataLoader(TensorDataset(*data()), batch_size=12, shuffle=True)
    prune.global_iterative_unstructured(
        model, prune.IterativeSNIP, 0.5, data=loader, loss_fn=F.cross_entropy, iterations=3
    )
    assert len(order) == 3
    assert sorted(order[0]) == sorted(order[1]) == sorted(order[2])
    assert order[0] != order[1]
