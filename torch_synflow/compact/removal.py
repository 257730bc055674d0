"""Making all pruning permanent, and returning the masks to restore it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torch_synflow._torch.fully_sharded import follow_names
from torch_synflow.compact.masks import masks
from torch_synflow.model.masks import overwriting, unwrapped_module
from torch_synflow.model.places import pruned_tensors
from torch_synflow.model.transaction import all_or_nothing


def remove_all(model: nn.Module) -> dict[str, Tensor]:
    """Make all pruning of a model permanent: plain parameters with zeros, as after torch's ``remove``.

    The outputs, the Parameter objects and their order do not change. The values of pruned weights are lost.
    ``prune.apply_masks(model, removed)`` restores masks and hooks.

    Args:
        model: a model that ``torch.nn.utils.prune`` has pruned. Tied tensors become plain in all places.

    Returns:
        The masks, like :func:`masks`; empty if nothing was pruned.

    Raises:
        TypeError: if ``model`` is no module.
        ValueError: if the places of a tied tensor have different masks or none, or a mask has values other than zeros
            and ones. The message names it, and nothing is changed.

    Example:
        >>> model = nn.Linear(4, 2)
        >>> _ = prune.l1_unstructured(model, "weight", amount=5)
        >>> removed = prune.remove_all(model)
        >>> int((model.weight != 0).sum()), prune.is_pruned(model)
        (3, False)
        >>> prune.apply_masks(model, removed)
        >>> prune.is_pruned(model)
        True
    """
    model = unwrapped_module(model)
    tensors = pruned_tensors(model)
    for tensor in tensors:
        if tensor.obstacle:
            label = tensor.places[0].label
            raise ValueError(
                f"{label}: expected one mask of zeros and ones in all places that hold this tensor, but "
                f"{tensor.obstacle}; call prune.apply_masks(model, {{{label!r}: mask}}) to give all places one mask"
            )
    removed = masks(model)

    def write() -> None:
        for tensor in tensors:
            tensor.parameter.mul_(tensor.places[0].mask)
            for place in tensor.places:
                place.take_off(tensor.parameter)
        follow_names(model.modules())

    def work() -> None:
        with torch.inference_mode(False):
            overwriting([tensor.parameter for tensor in tensors], write)

    all_or_nothing([model], work)
    return removed
