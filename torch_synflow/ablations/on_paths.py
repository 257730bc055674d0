"""Shuffling masks so that the same number of weights stays on a path from an input to an output."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from torch_synflow.ablations.given import by_neurons, checked_generator, pruned_entries
from torch_synflow.ablations.shuffling import put_on
from torch_synflow.model.parameters import Entry, ExampleInputs, Parameters
from torch_synflow.model.transaction import all_or_nothing
from torch_synflow.reachability.reached import reach

#: how often masks are drawn, and how often weights that end up on no path are moved again
DRAWS, MOVES = 10, 20


def shuffle_effective_masks(
    model: nn.Module,
    example_inputs: ExampleInputs,
    parameters: Parameters | None = None,
    *,
    generator: torch.Generator | None = None,
) -> None:
    """Shuffle masks within layers and keep the number of effective weights of each layer.

    A weight is effective if it is on a path from an input to an output. The effective weights of a layer move among the
    input and output channels that have effective weights, and each of these channels keeps at least one. Kept weights
    on no path do not move. First every such channel gets a weight at random, then the others are drawn uniformly. A
    weight that ends up on no path, because it meets only padding, is moved again.

    Args:
        model: a pruned model. Its masks are replaced; weights and hooks stay.
        example_inputs: the model's inputs; only shapes matter.
        parameters: pruned ``(module, name)`` pairs; by default all that have a mask.
        generator: the source of the draws; torch's global generator by default.

    Raises:
        ValueError: if nothing is pruned, or no shuffled masks with the same numbers of effective weights were found.
        TypeError: if ``generator`` is not a ``torch.Generator``.

    Source: Frankle et al. 2021, appendix M, asks whether shuffling does no harm only because it brings weights back to
        paths. This shuffle brings back none.

    Example:
        >>> from torch_synflow import ablations, diagnostics
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> x = torch.rand(1, 3)
        >>> _ = prune.global_iterative_unstructured(
        ...     model, prune.SynFlow, 0.6, example_inputs=x
        ... )
        >>> before = diagnostics.effective_sparsity(model, x).effective
        >>> draws = torch.Generator().manual_seed(0)
        >>> ablations.shuffle_effective_masks(model, x, generator=draws)
        >>> diagnostics.effective_sparsity(model, x).effective == before
        True
    """
    draws = checked_generator(generator)
    entries = pruned_entries(model, parameters)

    # includes the draws, so that a failure restores torch's random state
    all_or_nothing([model], lambda: _shuffle(model, example_inputs, entries, draws))


def _shuffle(
    model: nn.Module, example_inputs: ExampleInputs, entries: list[Entry], draws: torch.Generator | None
) -> None:
    """Put shuffled masks on the model, with the same number of effective weights in each layer."""

    def used_under(masks: list[Tensor]) -> list[Tensor]:
        for entry, mask in zip(entries, masks, strict=True):
            put_on(entry, mask)  # because the hooks multiply by the masks that are on the model
        under = [replace(entry, mask=mask) for entry, mask in zip(entries, masks, strict=True)]
        return reach(model, example_inputs, under).used

    before = used_under([entry.mask for entry in entries])
    wanted = [int(used.sum()) for used in before]
    nearest = ""
    for _ in range(DRAWS):
        drawn = [_drawn(entry, used, draws) for entry, used in zip(entries, before, strict=True)]
        masks = [mask for mask, _ in drawn]
        for _ in range(MOVES):
            after = used_under(masks)
            found = [int(used.sum()) for used in after]
            if found == wanted:
                return
            if any(now > then for now, then in zip(found, wanted, strict=True)):
                break  # a weight that was on no path came onto one
            nearest = next(
                f"{entry.label}: {then} effective weights before, {now} after"
                for entry, now, then in zip(entries, found, wanted, strict=True)
                if now < then
            )
            for place, (entry, used) in enumerate(zip(entries, after, strict=True)):
                lost = masks[place] & ~used & ~(entry.mask & ~before[place])
                masks[place] = _moved_on(entry, masks[place], lost, drawn[place][1], draws)
    raise ValueError(
        f"model: expected shuffled masks with as many effective weights in each layer, got none in {DRAWS} draws"
        f"{f' (the last with {nearest})' if nearest else ''}; the remaining channels leave too few "
        "choices"
    )


def _drawn(entry: Entry, used: Tensor, draws: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """The mask with its effective weights at other places, and the places that they may take."""
    mask = (entry.mask & ~used).contiguous()
    room = torch.zeros_like(mask)
    for staying, places, old in zip(
        *(by_neurons(part, entry) for part in (mask, room, used.contiguous())), strict=True
    ):
        outputs, inputs = old.any(2).any(1), old.any(2).any(0)
        places.copy_(outputs[:, None, None] & inputs[:, None] & old.any(0).any(0) & ~staying)
        chosen = _cover(places, _order(outputs, draws), _order(inputs, draws), draws)
        missing = int(old.sum()) - int(chosen.sum())
        staying.logical_or_(chosen).logical_or_(_chosen(places & ~chosen, missing, draws))
    return mask, room


def _moved_on(entry: Entry, mask: Tensor, lost: Tensor, room: Tensor, draws: torch.Generator | None) -> Tensor:
    """The mask with each lost weight at another place of its kernel, or of the layer if the kernel is full."""
    moved = mask & ~lost
    kernels = by_neurons(moved, entry)
    places, gone = by_neurons(room & ~mask, entry), by_neurons(lost, entry)
    device = None if draws is None else draws.device
    keys = torch.rand(places.shape, generator=draws, device=device).to(mask.device)
    rank = keys.masked_fill(~places, -1).argsort(-1, descending=True).argsort(-1)
    there = places & (rank < gone.sum(-1, keepdim=True))
    kernels.logical_or_(there)
    return moved | _chosen(room & ~moved & ~mask, int(lost.sum()) - int(there.sum()), draws)


def _cover(places: Tensor, outputs: Tensor, inputs: Tensor, draws: torch.Generator | None) -> Tensor:
    """As few places as possible that cover each output and each input channel."""
    chosen = torch.zeros_like(places)
    if len(outputs):
        turns = torch.arange(max(len(outputs), len(inputs)), device=places.device)
        rows, columns = outputs[turns % len(outputs)], inputs[turns % len(inputs)]
        free = places[rows, columns]
        device = None if draws is None else draws.device
        keys = torch.rand(free.shape, generator=draws, device=device, dtype=torch.float64).to(free.device)
        at = keys.masked_fill(~free, -1).argmax(-1)
        chosen[rows, columns, at] = free.any(-1)
    return chosen


def _order(which: Tensor, draws: torch.Generator | None) -> Tensor:
    """The places that are true, in random order."""
    places = which.reshape(-1).nonzero().reshape(-1)
    order = torch.randperm(len(places), generator=draws, device=None if draws is None else draws.device)
    return places[order.to(places.device)]


def _chosen(free: Tensor, count: int, draws: torch.Generator | None) -> Tensor:
    """A number of the places that are true, at random."""
    chosen = torch.zeros(free.numel(), dtype=torch.bool, device=free.device)
    chosen[_order(free, draws)[:count]] = True
    return chosen.view(free.shape)
