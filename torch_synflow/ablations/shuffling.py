"""Shuffling masks within layers, neurons, input channels or kernels."""

from __future__ import annotations

import logging
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from torch_synflow._warnings import listed
from torch_synflow.ablations.given import by_neurons, checked_generator, is_pruned, pruned_entries
from torch_synflow.model.masks import ones_where, refresh
from torch_synflow.model.parameters import Entry, Parameters
from torch_synflow.model.transaction import all_or_nothing

_log = logging.getLogger("torch_synflow")
#: the parts whose density a shuffle keeps
Within = Literal["layer", "neuron", "input", "kernel"]


def shuffle_masks(
    model: nn.Module,
    parameters: Parameters | None = None,
    *,
    within: Within = "layer",
    generator: torch.Generator | None = None,
) -> None:
    """Permute masks at random and keep the density of each layer, neuron, input channel or kernel.

    Args:
        model: a pruned model. Its masks are replaced; weights and hooks stay.
        parameters: pruned ``(module, name)`` pairs; by default all that have a mask. A tensor that is tied between
            modules gets one mask everywhere.
        within: the parts that keep their density: each ``"layer"``; each ``"neuron"``, an output channel; each
            ``"input"`` channel of a layer; or each ``"kernel"``, the elements between one input and one output channel.
            Finer parts shuffle less. The log names layers in which nothing can move.
        generator: the source of the permutations; torch's global generator by default.

    Raises:
        ValueError: if nothing is pruned, one of ``parameters`` is not pruned, ``within`` is not one of the four, or no
            element can move, for example in kernels of one element.
        TypeError: if ``generator`` is not a ``torch.Generator``.

    Source: Frankle et al. 2021, section 5, "Randomly shuffling", which asks at which granularity methods prune.

    Example:
        >>> from torch_synflow import ablations
        >>> model = nn.Linear(4, 2)
        >>> _ = prune.l1_unstructured(model, "weight", amount=5)
        >>> before = model.weight_mask.clone()
        >>> ablations.shuffle_masks(model, generator=torch.Generator().manual_seed(0))
        >>> int(model.weight_mask.sum()), torch.equal(model.weight_mask, before)
        (3, False)
        >>> neurons = model.weight_mask.sum(1)
        >>> draws = torch.Generator().manual_seed(0)
        >>> ablations.shuffle_masks(model, within="neuron", generator=draws)
        >>> torch.equal(model.weight_mask.sum(1), neurons)
        True
    """
    draws = checked_generator(generator)
    if within not in get_args(Within):
        raise ValueError(f"within: expected one of {', '.join(map(repr, get_args(Within)))}, got {within!r}")
    entries = pruned_entries(model, parameters)
    fixed = [entry.label for entry in entries if _parts(entry.mask, entry, within).shape[-1] < 2]
    if len(fixed) == len(entries):
        raise ValueError(f"within: expected a model with elements to shuffle within each {within}, got {listed(fixed)}")
    if fixed:
        _log.info("masks of %s stay: there is only one element in each %s", listed(fixed), within)

    def work() -> None:  # includes the draws, so that a failure restores torch's random state
        for entry in entries:
            put_on(entry, _within_layer(entry, draws) if within == "layer" else _shuffled(entry, within, draws))

    all_or_nothing([model], work)


def put_on(entry: Entry, kept: Tensor) -> None:
    """Replace the masks of a tensor wherever it is pruned."""
    for pair in entry.locations:
        if is_pruned(pair):
            refresh(pair, ones_where(kept, entry.parameter))


def _within_layer(entry: Entry, draws: torch.Generator | None) -> Tensor:
    order = torch.randperm(entry.total, generator=draws, device=None if draws is None else draws.device)
    return entry.mask.reshape(-1)[order.to(entry.mask.device)].reshape(entry.mask.shape)


def _shuffled(entry: Entry, within: Within, draws: torch.Generator | None) -> Tensor:
    """The mask with the elements of each part in a different order."""
    kept = entry.mask.clone(memory_format=torch.contiguous_format)
    parts = _parts(kept, entry, within)
    device = None if draws is None else draws.device
    keys = torch.rand(parts.shape, generator=draws, device=device, dtype=torch.float64)  # all different
    moved = parts.gather(-1, keys.argsort(-1).to(kept.device))
    whole = by_neurons(kept, entry)
    if within == "input":
        whole = whole.transpose(1, 2)
    whole.copy_(moved.view(whole.shape))
    return kept


def _parts(mask: Tensor, entry: Entry, within: Within) -> Tensor:
    """The mask with each part, in which elements move, along the last dimension."""
    if within == "layer":
        return mask.reshape(1, -1)
    whole = by_neurons(mask.contiguous(), entry)
    if within == "input":
        whole = whole.transpose(1, 2)
    return whole.reshape(*whole.shape[:2], -1) if within != "kernel" else whole.reshape(*whole.shape)
