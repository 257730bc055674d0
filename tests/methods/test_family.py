"""The relatives of SNIP and GraSP are what their formulas say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from tests.methods.family import data, gradients, masks, mlp, vector, weights_of
from torch_synflow import prune


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
    *order, check = order
    assert len(order) == 3
    assert len(check) == 1  # one example of the first batch tells which paths are left
    assert sorted(order[0]) == sorted(order[1]) == sorted(order[2])
    assert order[0] != order[1]
