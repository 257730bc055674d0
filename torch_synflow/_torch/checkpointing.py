"""Gradient checkpointing, which is disabled while a model is scored.

A checkpoint runs a part of the model again during the backward pass, after the scored weights and the surrogate have
been removed. It is implemented as an autograd function, or as hooks on saved tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils import checkpoint

from torch_synflow._torch.function_modes import FunctionMode
from torch_synflow._torch.functions import autograd_function
from torch_synflow._torch.transforms import active_transforms

#: returns the innermost hooks; torch 2.7 and earlier have none
INNERMOST: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
#: in older torch, saves the arguments of a checkpoint that is implemented as hooks; in later torch, no function does
SAVES_ARGUMENTS: Any = getattr(checkpoint, "_NoopSaveInputs", object())


def hooks_on_saved_tensors() -> Any:
    """The innermost hooks on saved tensors, ``None`` if there are none.

    If torch does not return the hooks, the result equals nothing, so hooks are always possible.
    """
    if INNERMOST is None:
        return object()
    try:
        return INNERMOST(True)
    except TypeError:  # the first versions that return them
        return INNERMOST()


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


class NoCheckpoints(FunctionMode):
    """A mode in which a checkpoint is an ordinary part of the forward pass; hooks set outside the mode stay.

    Args:
        pack: what hooks set outside do to a tensor that autograd saves, and does so in place of a checkpoint's.
        unpack: what they make of it when the backward needs it.
    """

    def __init__(self, pack: Callable[[Tensor], Any] = _as_it_is, unpack: Callable[[Any], Tensor] = _as_it_is) -> None:
        super().__init__()
        self._hooks = pack, unpack
        self._outside = hooks_on_saved_tensors()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the content of a checkpoint; let other operations save their tensors unchanged."""
        kwargs = kwargs or {}
        function = autograd_function(func, args)
        if function is SAVES_ARGUMENTS:
            return torch.empty(0)  # without a graph, which makes the checkpoint an ordinary call
        if function is checkpoint.CheckpointFunction:
            _, run, _, *given = args
            with self:
                return run(*given)
        if hooks_on_saved_tensors() == self._outside or (INNERMOST is None and active_transforms()):
            return func(*args, **kwargs)  # up to torch 2.7, transforms allow no hooks, not even those of a checkpoint
        with saved_tensors_hooks(*self._hooks):
            return func(*args, **kwargs)
