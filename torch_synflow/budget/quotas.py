"""The number of elements that each iteration keeps, and from which tensors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from torch_synflow.budget.allocation import LayerDensities, kept_of_layers
from torch_synflow.budget.counts import kept_counts, to_remove
from torch_synflow.budget.patterns import Pattern, check_pattern
from torch_synflow.model.parameters import Entry, Pair
from torch_synflow.schedules import Schedule
from torch_synflow.selection.quotas import InGroups, OfEach, Quota, Together


def quotas_of(
    entries: Sequence[Entry], parameters: list[Pair], model: nn.Module | None, amount: float, steps: int,
    schedule: Schedule, layer_densities: LayerDensities | None, pattern: Pattern | None,
) -> list[Quota]:  # fmt: skip
    """One quota per iteration; the last one keeps exactly what ``amount`` leaves.

    Args:
        entries: the layers.
        parameters: the pairs that the layers were resolved from, for a rule.
        model: the model that the layers belong to, if known.
        amount: how much to remove.
        steps: how many iterations.
        schedule: the density after each of them.
        layer_densities: the density of each layer, if given.
        pattern: which neighbours to keep, if given.

    Raises:
        TypeError, ValueError: if an argument is invalid or does not fit the others. The message names it.
    """
    if layer_densities is not None and pattern is not None:
        raise ValueError(
            f"layer_densities: expected none together with pattern, which keeps {pattern} of each layer; leave "
            "out one of them"
        )
    alive = sum(entry.alive for entry in entries)
    kept = alive - to_remove(amount, alive)
    if pattern is not None:
        groups = check_pattern(pattern, entries, amount)
        return [InGroups(keep, groups.n, groups.m) for keep in kept_counts(schedule, steps, alive, kept)]
    if layer_densities is None:
        return [Together(keep) for keep in kept_counts(schedule, steps, alive, kept)]
    goals = kept_of_layers(layer_densities, entries, parameters, model, kept)
    columns = (kept_counts(schedule, steps, e.alive, goal) for e, goal in zip(entries, goals, strict=True))
    return [OfEach(keeps) for keeps in zip(*columns, strict=True)]
