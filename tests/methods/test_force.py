"""FORCE against a loop that is written out, and entries that return."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.methods.family import data, gradients, masks, mlp, weights_of
from torch_synflow import prune


def set_weights(model: nn.Module, flat: Tensor) -> None:
    offset = 0
    for module, _ in prune.prunable_parameters(model):
        size = module.weight.numel()
        module.weight.data.copy_(flat[offset : offset + size].view_as(module.weight))
        offset += size


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
