"""Exact counts from the layer densities that users pass."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from torch_synflow.model.parameters import Entry, Pair, PrunableParameters

#: densities of all layers, or a rule ``rule(parameters, density)`` that gives them
LayerDensities = Mapping[Any, float] | Callable[[list[Pair], float], Mapping[Any, float]]


def kept_of_layers(
    layer_densities: LayerDensities, entries: Sequence[Entry], parameters: list[Pair], model: nn.Module | None,
    kept: int,
) -> list[int]:  # fmt: skip
    """The number of elements that each layer keeps: ``kept`` in all, by largest remainders, ties to the first layer.

    Args:
        layer_densities: densities by name or pair, or a rule that gives them.
        entries: the layers.
        parameters: the pairs that the layers were resolved from, for a rule.
        model: the model that the layers belong to, if known.
        kept: the number of elements that all layers keep together.

    Raises:
        TypeError, ValueError: if a layer has no density, or one outside the range from 0 to what is left of it, or if
            the densities together keep a different number of elements.
    """
    total = sum(entry.total for entry in entries)
    if callable(layer_densities):
        pairs = parameters if model is None else PrunableParameters(parameters, model)
        layer_densities = layer_densities(pairs, kept / total if total else 1.0)
    alive = [entry.alive for entry in entries]
    densities = densities_of(layer_densities, entries, "layer_densities")
    exact = [density * entry.total for density, entry in zip(densities, entries, strict=True)]
    for entry, most, wanted in zip(entries, alive, exact, strict=True):
        if wanted > most + 1e-6 * entry.total:
            left = "" if most == entry.total else ", the part that earlier pruning has left"
            raise ValueError(
                f"layer_densities: expected a density of at most {most / entry.total:g}{left}, for {entry.label}, "
                f"got {wanted / entry.total:g}"
            )
    if abs(sum(exact) - kept) > 0.5 * len(entries) + 1e-6 * total:
        raise ValueError(
            f"layer_densities: expected densities that keep the {kept} of {total} weights that amount leaves, got "
            f"densities that keep {round(sum(exact))}; pass amount={sum(alive) - round(sum(exact))}, or "
            "prune.proportional(layer_densities) to scale them"
        )
    counts = [min(math.floor(wanted + 1e-6), most) for wanted, most in zip(exact, alive, strict=True)]
    order = sorted(range(len(counts)), key=lambda i: counts[i] - exact[i])
    while missing := kept - sum(counts):  # at most about one per layer
        for i in order if missing > 0 else reversed(order):
            if missing > 0 and counts[i] < alive[i]:
                counts[i], missing = counts[i] + 1, missing - 1
            elif missing < 0 and counts[i] > 0:
                counts[i], missing = counts[i] - 1, missing + 1
    return counts


def densities_of(densities: Any, entries: Sequence[Entry], name: str) -> list[float]:
    """The checked density of each entry, given by its name or any of its places."""
    if not isinstance(densities, Mapping):
        raise TypeError(
            f"{name}: expected densities by layer name or (module, name) pair, or a rule such as prune.erk, "
            f"got {type(densities).__name__}"
        )
    places: dict[Any, int] = {}
    for index, entry in enumerate(entries):
        places[entry.label] = index
        places.update(dict.fromkeys(entry.locations, index))
    found: dict[int, float] = {}
    for layer, density in densities.items():
        if layer not in places:
            known = ", ".join(entry.label for entry in entries[:5]) + (", ..." if len(entries) > 5 else "")
            raise ValueError(f"{name}: expected the layers that are pruned ({known}), got {repr(layer)[:60]}")
        layer_name = entries[places[layer]].label
        if isinstance(density, bool) or not isinstance(density, numbers.Real):
            raise TypeError(f"{name}: expected a number for {layer_name}, got {density!r}")
        if not 0.0 <= float(density) < math.inf:
            raise ValueError(f"{name}: expected a number of at least 0 for {layer_name}, got {density!r}")
        if found.setdefault(places[layer], float(density)) != density:
            raise ValueError(
                f"{name}: expected one density for {layer_name}, which is one tensor in several places, got "
                f"{found[places[layer]]} and {density}"
            )
    missing = [entry.label for index, entry in enumerate(entries) if index not in found]
    if missing:
        raise ValueError(
            f"{name}: expected a density for each layer that is pruned, got none for {missing[0]}"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}"
        )
    return [found[index] for index in range(len(entries))]
