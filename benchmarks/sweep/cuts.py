"""Prune size and cut size: whether each iteration of a method leaves every layer more than it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from torch_synflow import prune
from torch_synflow.schedules import Schedule

Sizes = list[float]


def prune_and_cut_sizes(
    model: nn.Module,
    method: type[prune.BasePruningMethod],
    parameters: prune.PrunableParameters,
    densities: Sequence[float],
    **scored_with: Any,
) -> tuple[Sizes, Sizes]:
    """The scores of what each iteration prunes, and those of the layer that has the least, before it prunes.

    The model is pruned to one density after the other, and no further once a layer is empty. Where scores are
    conserved, all layers have as much. Theorem 3 of Tanaka et al. 2020 asks for a prune size below the cut size.
    """
    if not issubclass(method, prune.SaliencyUnstructured):
        raise ValueError(f"method: expected one that scores a model, got {method.__name__}")
    pruned, cuts = [], []
    total = sum(getattr(*pair).numel() for pair in parameters)
    left = total
    for density in densities:
        scores = {pair: s.as_subclass(Tensor) for pair, s in method.scores(model, parameters, **scored_with).items()}
        layers = [float(scores[pair].double().sum()) for pair in parameters]
        cuts.append(min(layers))
        amount, left = left - max(1, round(total * density)), max(1, round(total * density))
        marked = {pair: score.as_subclass(prune.Scores) for pair, score in scores.items()}
        prune.global_unstructured(parameters, method, importance_scores=marked, amount=amount)
        kept = [scores[m, n].double() * getattr(m, f"{n}_mask") for m, n in parameters]
        pruned.append(sum(before - float(after.sum()) for before, after in zip(layers, kept, strict=True)))
        if not all(bool(getattr(m, f"{n}_mask").any()) for m, n in parameters):
            break
    return pruned, cuts


def densities_of(schedule: Schedule, iterations: int, density: float) -> list[float]:
    """The densities after each iteration."""
    return [schedule(step, iterations, density) for step in range(1, iterations + 1)]
