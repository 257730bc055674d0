"""Models whose ``load_state_dict`` accepts the states of pruned models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from torch_synflow._torch.loading import runs_before_loading
from torch_synflow.compact.checkpoints import attach_ones, to_prune
from torch_synflow.compact.masks import place_of
from torch_synflow.model.masks import pruned_parameters, refresh, unwrapped_module


class AcceptingHandle:
    """The handle that :func:`accept_pruned` returns.

    Attributes:
        handles: the handles of the registered hooks.
    """

    def __init__(self, *handles: RemovableHandle) -> None:
        self.handles = handles

    def remove(self) -> None:
        """Restore the original ``load_state_dict``."""
        for handle in self.handles:
            handle.remove()


def accept_pruned(model: nn.Module) -> AcceptingHandle:
    """Make the ``load_state_dict`` of a model accept the states of pruned models from now on.

    If the state has masks that the model lacks, the model gets them, on its existing Parameter objects. Every function
    that loads a state then works on a model that is not pruned yet: ``load_from_checkpoint`` and ``ddp_spawn`` of
    Lightning, ``resume_from_checkpoint`` of transformers, and ``load_state`` of accelerate. The hooks are copied and
    pickled with the model. To load once, use :func:`load_pruned`, which is atomic.

    Args:
        model: the model, for example ``self`` at the end of ``__init__``.

    Returns:
        A handle; ``handle.remove()`` undoes it.

    Raises:
        TypeError: if ``model`` is none.
        ValueError: from ``load_state_dict``, if a parameter cannot be pruned or a mask has a different shape. The
            message names it.

    Example:
        >>> model = nn.Linear(4, 2)
        >>> _ = prune.l1_unstructured(model, "weight", amount=5)
        >>> fresh = nn.Linear(4, 2)
        >>> _ = prune.accept_pruned(fresh)
        >>> fresh.load_state_dict(model.state_dict())
        <All keys matched successfully>
        >>> x = torch.rand(1, 4)
        >>> torch.equal(fresh(x), model(x))
        True
    """
    model = unwrapped_module(model)
    before = model.register_load_state_dict_pre_hook(_take_masks)
    return AcceptingHandle(before, model.register_load_state_dict_post_hook(_refresh))


def accepts_pruned(model: nn.Module) -> bool:
    """Whether :func:`accept_pruned` was called for a model."""
    return runs_before_loading(unwrapped_module(model), _take_masks)


def _take_masks(model: nn.Module, state: Mapping[str, Any], prefix: str, *_: object) -> None:
    """Give a model the masks of a state; torch reports other problems of the state."""
    own = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    masks = {key: value for key, value in own.items() if key.endswith("_mask")}
    known = {key: value for key, value in masks.items() if place_of(model, key.removesuffix("_mask"))[0] is not None}
    attach_ones(model, to_prune(model, known | {key: value for key, value in own.items() if key.endswith("_orig")}))


def _refresh(model: nn.Module, _: object) -> None:
    for pair in pruned_parameters(model):
        refresh(pair)
