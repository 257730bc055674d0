"""Loading the state of a pruned model into one that is not pruned yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow._torch.fully_sharded import follow_names
from torch_synflow.compact.masks import place_of
from torch_synflow.model.layout import as_shown_by
from torch_synflow.model.masks import overwriting, pruned_parameters, put_mask, refresh, unwrapped_module
from torch_synflow.model.parameters import Pair
from torch_synflow.model.places import hook_of, pruned_tensors
from torch_synflow.model.prunable import prunable
from torch_synflow.model.transaction import all_or_nothing


def load_pruned(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Load a ``state_dict`` with masks into a model without masks.

    The model is then pruned like the state, with its masks, weights and buffers, on the existing Parameter objects.
    Parameters that are already pruned get the masks of the state. The state of an unpruned model loads into an unpruned
    model, as with ``load_state_dict``.

    Args:
        model: a model of the same architecture, on any device and of any dtype. An error leaves it unchanged.
        state: the complete ``state_dict`` (strict) of a model pruned through ``torch.nn.utils.prune``. A sharded model
            loads its parts of whole tensors, which must be the same on all ranks.

    Raises:
        TypeError: if ``model`` is not a module, or ``state`` is not a mapping.
        ValueError: if a name is missing or unexpected, a shape differs, or the model has pruned a parameter that the
            state has not. The message names it. ``prune.remove_all(model)`` makes a model dense for such a state.

    Example:
        >>> model = nn.Linear(4, 2)
        >>> _ = prune.l1_unstructured(model, "weight", amount=5)
        >>> fresh = nn.Linear(4, 2)
        >>> prune.load_pruned(fresh, model.state_dict())
        >>> x = torch.rand(1, 4)
        >>> torch.equal(fresh(x), model(x))
        True
    """
    model = unwrapped_module(model)
    if not isinstance(state, Mapping):
        raise TypeError(f"state: expected a state_dict, got {type(state).__name__}; pass model.state_dict()")
    missing = to_prune(model, state)
    for tensor in pruned_tensors(model):
        for place in tensor.places:
            if f"{place.label}_orig" not in state and place.label in state:
                raise ValueError(
                    f"{place.label}: expected a state in which this parameter is pruned, as in the model, got a dense "
                    "state; call prune.remove_all(model) before, and prune.apply_masks after, to keep the masks"
                )

    def load() -> None:
        own = model.state_dict()
        alike = (key for key, value in state.items() if key in own and own[key].shape == getattr(value, "shape", None))
        parts = {key: as_shown_by(own[key], state[key]) for key in alike}
        try:
            model.load_state_dict({**state, **parts}, strict=True)
        except RuntimeError as error:
            raise ValueError(
                f"state: expected that of a {type(model).__name__} of the same shapes, pruned or not, got a different "
                f"one{_hint(state)}: {error}"
            ) from error
        for pair in pruned_parameters(model):
            refresh(pair)

    def work() -> None:
        with torch.inference_mode(False):
            attach_ones(model, missing)
            overwriting([*model.parameters(), *model.buffers()], load)

    all_or_nothing([model], work)


def attach_ones(model: nn.Module, parameters: Mapping[Pair, nn.Parameter]) -> None:
    """Give parameters of a model masks of ones, into which a state can be loaded."""
    for pair, parameter in parameters.items():
        put_mask(pair, torch.ones_like(parameter, dtype=torch.bool, requires_grad=False), parameter)
    follow_names(model.modules())


def to_prune(model: nn.Module, state: Mapping[str, Any]) -> dict[Pair, nn.Parameter]:
    """The parameters with a mask in the state and none in the model."""
    found = {}
    for key in state:
        label = key.removesuffix("_mask")
        if label == key or f"{label}_orig" not in state:
            continue
        module, name = place_of(model, label)
        if module is None:
            raise ValueError(
                f"state: expected that of a {type(model).__name__}, got one with a mask of {label}, which the model "
                f"does not have{_hint(state)}"
            )
        parameter, mask = prunable((module, name), label), state[key]
        if not isinstance(mask, Tensor) or mask.shape != parameter.shape:
            got = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(f"{key}: expected a mask of shape {tuple(parameter.shape)}, got {got}")
        if hook_of(module, name) is None:
            found[module, name] = parameter
    return found


def _hint(state: Mapping[str, Any]) -> str:
    """The fix for prefixes that wrappers add to names."""
    for prefix in ("module.", "_orig_mod."):
        if state and all(key.startswith(prefix) for key in state):
            return f" (all its names begin with {prefix!r}, as for a wrapped model; remove this prefix)"
    return ""
