"""Making all pruning permanent, and keeping the masks to bring it back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torch_synflow._torch.fully_sharded import follow_names
from torch_synflow.compact.masks import masks
from torch_synflow.model.masks import overwriting, unwrapped_module
from torch_synflow.model.places import pruned_tensors
from torch_synflow.model.transaction import all_or_nothing


def remove_all(model: nn.Module) -> dict[str, Tensor]:
    """Make every pruning of a model permanent: plain parameters with zeros, as torch's ``remove`` leaves one.

    The outputs stay the same, and so do the Parameter objects and their order. What was pruned of a weight is lost.
    ``prune.apply_masks(model, removed)`` brings masks and hooks back.

    Args:
        model: a model, pruned by anyone through ``torch.nn.utils.prune``; tied tensors are unpruned in all places.

    Returns:
        The masks, as :func:`masks` does; none if nothing was pruned.

    Raises:
        TypeError: if ``model`` is no module.
        ValueError: naming a tied tensor whose places have different masks or none, and a mask with other values than
            zeros and ones. Nothing has changed then.

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
                f"{tensor.obstacle}; prune.apply_masks(model, {{{label!r}: mask}}) gives all places one"
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
