"""Flows that are about to vanish in float64 are carried with exponents: scores lose no digit, whatever the scale."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from torch_synflow import prune

X = torch.ones(1, 3)


def chain(powers: Sequence[int], width: int = 5) -> nn.Sequential:
    """Layers without biases, each times a power of two."""
    torch.manual_seed(3)
    modules: list[nn.Module] = []
    for number, power in enumerate(powers):
        layer = nn.Linear(width if number else 3, width, bias=False, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.mul_(2.0**power)
        modules += [layer, nn.ReLU()]
    return nn.Sequential(*modules)


def masks(model: nn.Module, method: type[prune.SynFlow], kept: int, iterations: int) -> list[Tensor]:
    model = copy.deepcopy(model)
    params = prune.prunable_parameters(model, example_inputs=X)
    amount = sum(getattr(*pair).numel() for pair in params) - kept
    prune.global_iterative_unstructured(params, method, amount, iterations=iterations)
    return [module.get_buffer(f"{name}_mask") for module, name in params]


@pytest.mark.parametrize("method", [prune.SynFlow, prune.BalancedSynFlow])
@pytest.mark.parametrize(
    ("powers", "iterations"),
    [
        ([-53] * 20, 3),  # R is below what float64 holds in full, and not zero
        ([-60] * 20, 3),  # R is zero
        ([-41] * 20, 12),  # R vanishes as weights go
        ([-60] * 17 + [60] * 17, 3),  # what flows in the middle vanishes, R does not
        ([-41] * 20, 2),  # from one iteration to the next
        ([60] * 20, 3),  # R is infinite
    ],
    ids=["subnormal", "zero", "as weights go", "in the middle", "in one iteration", "infinite"],
)
def test_masks_do_not_depend_on_the_scale(method: type[prune.SynFlow], powers: list[int], iterations: int) -> None:
    plain, scaled = chain([0] * len(powers)), chain(powers)
    total = 15 + 25 * (len(powers) - 1)
    for kept in (total // 2, len(powers)) if method is prune.SynFlow else (total // 2,):
        assert all(
            torch.equal(a, b)
            for a, b in zip(
                masks(plain, method, kept, iterations), masks(scaled, method, kept, iterations), strict=True
            )
        )


def test_scores_are_in_proportion_however_small() -> None:
    def ratios(model: nn.Module) -> Tensor:
        scores = torch.cat([score.flatten() for score in prune.synflow_scores(model, X).values()])
        return scores / scores.max()

    assert torch.equal(ratios(chain([0] * 20)), ratios(chain([-53] * 20)))


def test_masks_of_a_pruned_model_do_not_depend_on_it_either() -> None:
    """Its layers were cut to their living channels before the flow vanished."""
    found = []
    for model in (chain([0] * 20), chain([-41] * 20)):
        for layer in model[::2]:
            prune.l1_unstructured(layer, "weight", 1)
        found.append(masks(prune.detach(model), prune.SynFlow, 25, 12))
    for plain, scaled in zip(*found, strict=True):
        assert torch.equal(plain, scaled)
