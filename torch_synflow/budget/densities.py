"""Layer densities: those of a model, and rules that give them for any total density."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from torch_synflow.budget.allocation import densities_of
from torch_synflow.model.listing import weights_of
from torch_synflow.model.parameters import (
    Entry,
    Pair,
    Parameters,
    PrunableParameters,
    resolve,
    unwrap,
)
from torch_synflow.model.zeros import zeros_as_pruned

#: a layer, by its qualified name or its ``(module, name)`` pair
LayerKey = str | Pair


def layer_densities(parameters: Parameters) -> dict[LayerKey, float]:
    """The current density of each layer of a model: kept / total of its mask, 1 if it was never pruned.

    In a tensor without a mask, zeros count as pruned, unless the whole tensor is zero.

    Args:
        parameters: a model, for all its prunable weights, or ``(module, name)`` pairs.

    Returns:
        Densities by qualified name, or by pair for a plain list without its model. The report of a pruning call has the
        same numbers in ``densities``.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
        >>> prune.l1_unstructured(model[0], "weight", 0.75)
        Linear(in_features=4, out_features=5, bias=True)
        >>> layer_densities(model)
        {'0.weight': 0.25, '2.weight': 1.0}
    """
    entries, named = _entries(parameters)
    entries = zeros_as_pruned(entries)
    kept = [entry.alive for entry in entries]
    return _by_layer(entries, named, [k / e.total if e.total else 1.0 for e, k in zip(entries, kept, strict=True)])


def uniform(parameters: Parameters, density: float) -> dict[LayerKey, float]:
    """The same density for every layer.

    Args:
        parameters: a model, for all its prunable weights, or ``(module, name)`` pairs.
        density: kept / total over all layers, between 0 and 1.

    Returns:
        Densities by qualified name, or by pair for a plain list without its model.

    Raises:
        TypeError, ValueError: if ``density`` is not a number from 0 to what earlier pruning has left.

    Example:
        >>> uniform(nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2)), 0.25)
        {'0.weight': 0.25, '1.weight': 0.25}
    """
    return _shared(parameters, density, lambda shape: 1.0)


def er(parameters: Parameters, density: float) -> dict[LayerKey, float]:
    r"""Erdos-Renyi densities: each layer keeps weights in proportion to its number of inputs and outputs.

    .. math:: d_l = \epsilon\, \frac{n_{in} + n_{out}}{n_{in}\, n_{out}}

    Layers that would exceed density 1, or what earlier pruning has left of them, are kept whole. The other layers share
    the rest, so the total is still that of ``density``.

    Args:
        parameters: a model, for all its prunable weights, or ``(module, name)`` pairs.
        density: kept / total over all layers, between 0 and 1.

    Returns:
        Densities by qualified name, or by pair for a plain list without its model.

    Raises:
        TypeError, ValueError: if ``density`` is not a number from 0 to what earlier pruning has left.

    Source: Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive sparse connectivity
    inspired by network science"; for convolutions, by channels, Evci et al. 2020, section 3.

    Example:
        >>> model = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 10))
        >>> densities = er(model, 0.2)  # 50 / 600 and 40 / 300, times 2: 180 weights
        >>> {name: round(density, 4) for name, density in densities.items()}
        {'0.weight': 0.1667, '1.weight': 0.2667}
    """
    return _shared(parameters, density, lambda shape: sum(shape[:2]) / math.prod(shape[:2]))


def erk(parameters: Parameters, density: float) -> dict[LayerKey, float]:
    r"""Erdos-Renyi-kernel densities: as :func:`er`, but the kernel's width and height also count.

    .. math:: d_l = \epsilon\, \frac{n_{in} + n_{out} + w + h}{n_{in}\, n_{out}\, w\, h}

    Args:
        parameters: a model, for all its prunable weights, or ``(module, name)`` pairs.
        density: kept / total over all layers, between 0 and 1.

    Returns:
        Densities by qualified name, or by pair for a plain list without its model.

    Raises:
        TypeError, ValueError: if ``density`` is not a number from 0 to what earlier pruning has left.

    Source: Evci et al. 2020, "Rigging the lottery: making all tickets winners", section 3.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3))
        >>> # 11 / 36 and 18 / 288: the first layer would exceed 1 and is kept whole
        >>> erk(model, 0.5)
        {'0.weight': 1.0, '1.weight': 0.4375}
    """
    return _shared(parameters, density, lambda shape: sum(shape) / math.prod(shape))


def proportional(densities: Mapping[Any, float]) -> Callable[[Parameters, float], dict[LayerKey, float]]:
    """Make a rule that scales given densities, such as those of another method or compression, to any total.

    Layers that would exceed density 1, or what earlier pruning has left of them, are kept whole. The other layers share
    the rest.

    Args:
        densities: non-negative numbers by qualified name or ``(module, name)`` pair. Only their ratios matter.

    Returns:
        A function of ``(parameters, density)``, like :func:`erk`.

    Example:
        >>> model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 5))
        >>> proportional({"0.weight": 0.1, "1.weight": 0.3})(model, 0.4)
        {'0.weight': 0.2, '1.weight': 0.6}
    """

    def scaled(parameters: Parameters, density: float) -> dict[LayerKey, float]:
        entries, named = _entries(parameters)
        return _by_layer(entries, named, _scaled(entries, densities_of(densities, entries, "densities"), density))

    return scaled


def _entries(parameters: Parameters) -> tuple[list[Entry], bool]:
    """The layers of a model or of pairs, and whether their names are known."""
    if isinstance(parameters, nn.Module):
        parameters = PrunableParameters(weights_of(parameters), parameters)
    model = parameters.model if isinstance(parameters, PrunableParameters) else None
    return resolve(parameters, unwrap(model) if model is not None else None), model is not None


def _by_layer(entries: Sequence[Entry], named: bool, densities: Sequence[float]) -> dict[LayerKey, float]:
    return {e.label if named else e.locations[0]: d for e, d in zip(entries, densities, strict=True)}


def _shared(parameters: Parameters, density: float, ratio: Callable[[torch.Size], float]) -> dict[LayerKey, float]:
    entries, named = _entries(parameters)
    ratios = [ratio(entry.parameter.shape) if entry.total else 0.0 for entry in entries]
    return _by_layer(entries, named, _scaled(entries, ratios, density))


def _scaled(entries: Sequence[Entry], ratios: Sequence[float], density: float) -> list[float]:
    """The ratios times a common factor that keeps ``density`` in all, limited by the weights left in each layer."""
    if isinstance(density, bool) or not isinstance(density, numbers.Real):
        raise TypeError(f"density: expected a number between 0 and 1, got {density!r}")
    if not 0.0 <= float(density) <= 1.0:
        raise ValueError(f"density: expected a number between 0 and 1 (kept / total), got {density!r}")
    sizes = [entry.total for entry in entries]
    most = [entry.alive / entry.total if entry.total else 1.0 for entry in entries]
    free = [i for i, ratio in enumerate(ratios) if ratio > 0]
    found = [0.0] * len(entries)
    budget = float(density) * sum(sizes)
    while free:
        factor = budget / sum(ratios[i] * sizes[i] for i in free)
        full = [i for i in free if factor * ratios[i] >= most[i]]
        for i in full or free:
            found[i] = min(factor * ratios[i], most[i])
            budget -= found[i] * sizes[i]
        free = [i for i in free if i not in full] if full else []
    if budget > 0.5:
        most_of_all = sum(m * size for m, size, ratio in zip(most, sizes, ratios, strict=True) if ratio > 0)
        raise ValueError(
            f"density: expected at most {most_of_all / sum(sizes):g}, what is left of the layers that have a density "
            f"above 0, got {density!r}"
        )
    return found
