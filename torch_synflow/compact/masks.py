"""Masks by name: reading the masks of a model, and putting masks on a model."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow.model.layout import as_shown_by
from torch_synflow.model.masks import put_mask, unwrapped_module
from torch_synflow.model.parameters import Pair, held_parameters
from torch_synflow.model.places import hook_of, is_binary, pruned_tensors
from torch_synflow.model.prunable import prunable
from torch_synflow.model.transaction import all_or_nothing


def masks(model: nn.Module) -> dict[str, Tensor]:
    """Return the masks of a model by the qualified names of their parameters.

    Args:
        model: a model that ``torch.nn.utils.prune`` has pruned. Wrapped or compiled models are unwrapped.

    Returns:
        ``{"layer.weight": mask}``. Each mask is a boolean copy, true where the weight is kept. A tied tensor appears
        under every pruned name. An unpruned model has no masks.

    Raises:
        TypeError: if ``model`` is no module.
        ValueError: if a mask has values other than zeros and ones. The message names it.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> _ = prune.custom_from_mask(model[0], "weight", torch.tensor([[1, 0], [1, 1]]))
        >>> prune.masks(model)
        {'0.weight': tensor([[ True, False], [ True,  True]])}
    """
    places = [place for tensor in pruned_tensors(unwrapped_module(model)) for place in tensor.places]
    for place in places:
        if not is_binary(place.mask):
            raise ValueError(
                f"{place.label}_mask: expected zeros and ones, got other values; they cannot be returned as a mask"
            )
    return {place.label: place.mask != 0 for place in places}


def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Prune a model with given masks, as :func:`masks`, :func:`remove_all` and :func:`load_masks` return them.

    Each tensor gets the attributes of torch's ``custom_from_mask``: ``name_orig``, which is the Parameter itself,
    ``name_mask`` and one forward pre-hook. If a tensor is already pruned, both masks apply, so masks only tighten. A
    mask that changes nothing adds no second hook.

    Args:
        model: a model, pruned or not. An error leaves it unchanged.
        masks: masks by the qualified names of their parameters, with the shapes of these, boolean or of zeros and ones;
            1 keeps. A tied tensor gets the mask in all its places. A sharded tensor gets its part of a whole mask,
            which must be the same on all ranks.

    Raises:
        TypeError, ValueError: if a mask is invalid. The message names it, and the expected and the actual value.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> prune.apply_masks(model, {"weight": torch.tensor([[1, 0], [1, 1]])})
        >>> prune.apply_masks(model, {"weight": torch.tensor([[1, 1], [0, 1]])})
        >>> model.weight_mask
        tensor([[1., 0.],
                [0., 1.]])
    """
    model = unwrapped_module(model)
    wanted = checked_masks(model, masks)

    def work() -> None:
        for parameter, kept, pairs in wanted:
            for module, name in pairs:
                if hook_of(module, name) is None or not torch.equal(module.get_buffer(f"{name}_mask") != 0, kept):
                    put_mask((module, name), kept, parameter)

    all_or_nothing([model], work)


def checked_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[nn.Parameter, Tensor, list[Pair]]]:
    """Each parameter with a mask, its new mask combined with earlier masks, and its places."""
    if not isinstance(masks, Mapping):
        raise TypeError(
            f"masks: expected a mapping from names to masks, as prune.masks(model) gives, got {type(masks).__name__}"
        )
    places: dict[nn.Parameter, list[Pair]] = {}
    for module, name, _, parameter in held_parameters(model):
        places.setdefault(parameter, []).append((module, name))
    given: dict[nn.Parameter, tuple[str, Tensor]] = {}
    for label, mask in masks.items():
        parameter = named_parameter(model, label)
        kept = _kept(label, mask, parameter)
        if parameter in given and not torch.equal(given[parameter][1], kept):
            raise ValueError(
                f"{label}: expected the mask of {given[parameter][0]}, which is the same tensor, got a different one; "
                "a tied tensor has one mask"
            )
        given.setdefault(parameter, (label, kept))
    return [
        (parameter, _tightened(label, kept, places[parameter]), places[parameter])
        for parameter, (label, kept) in given.items()
    ]


def _tightened(label: str, kept: Tensor, pairs: list[Pair]) -> Tensor:
    """The elements that a mask keeps among those that earlier masks keep."""
    for module, name in pairs:
        prunable((module, name), label)
        if hook_of(module, name) is not None:
            earlier = module.get_buffer(f"{name}_mask")
            if not is_binary(earlier):
                raise ValueError(
                    f"{label}: expected a tensor whose mask is of zeros and ones, got one with other values; make it "
                    "permanent first, with torch's prune.remove"
                )
            kept = kept & (earlier != 0)
    return kept


def named_parameter(model: nn.Module, label: str) -> nn.Parameter:
    """The dense parameter of a qualified name without ``_orig``, pruned or not."""
    module, name = place_of(model, label)
    if module is None:
        names = [k.removesuffix("_orig") if f"{n}_mask" in m._buffers else k for m, n, k, _ in held_parameters(model)]
        near = difflib.get_close_matches(str(label), names, n=1)
        raise ValueError(
            f"masks: expected names of parameters of the model {type(model).__name__}, got {label!r}, which does not "
            f"exist{f'; the nearest is {near[0]!r}' if near else ''}; the masks may belong to another model"
        )
    return prunable((module, name), label)


def place_of(model: nn.Module, label: Any) -> tuple[nn.Module | None, str]:
    """The module and name of a parameter by its qualified name without ``_orig``; no module if it does not exist."""
    prefix, _, name = label.rpartition(".") if isinstance(label, str) else ("", "", "")
    module = dict(model.named_modules(remove_duplicate=False)).get(prefix)
    there = module is not None and bool({name, f"{name}_orig"} & set(module._parameters))
    return (module if there else None), name


def _kept(label: str, mask: Any, parameter: nn.Parameter) -> Tensor:
    """The mask as a boolean tensor on the device of the parameter."""
    if not isinstance(mask, Tensor):
        raise TypeError(f"{label}: expected a mask tensor, got {type(mask).__name__}")
    if mask.shape != parameter.shape:
        raise ValueError(
            f"{label}: expected a mask of shape {tuple(parameter.shape)}, that of the parameter, got "
            f"{tuple(mask.shape)}; the masks may belong to another model"
        )
    if not is_binary(mask):
        raise ValueError(f"{label}: expected a mask of zeros and ones, got other values; pass mask != 0")
    return as_shown_by(parameter, mask.detach().to(parameter.device) != 0)
