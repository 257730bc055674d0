"""Surrogates of a user's own."""

from __future__ import annotations

from typing import Any

from torch_synflow.flow.surrogate.mode import Surrogate
from torch_synflow.flow.surrogate.operations import REGISTERED


def register(operation: Any, surrogate: Surrogate | None = None) -> Any:
    """Say how SynFlow is to read an operation: by a positively homogeneous function of the same arguments.

    Args:
        operation: what the model calls: a function such as ``torch.special.erf``, a method such as
            ``torch.Tensor.erf``, or a subclass of ``torch.autograd.Function``.
        surrogate: called with the same arguments instead. For an activation ``torch.relu`` of the input. Left
            out, ``register`` is a decorator.

    Returns:
        ``surrogate``, or the decorator.

    Raises:
        TypeError: if either cannot be called.

    Example:
        >>> from torch_synflow import flow, prune
        >>> @flow.register(torch.special.erf)
        ... def relu(x):
        ...     return torch.relu(x)
    """
    if not callable(operation):
        raise TypeError(f"operation: expected what the model calls, such as torch.special.erf, got {operation!r}")

    def add(function: Surrogate) -> Surrogate:
        if not callable(function):
            raise TypeError(f"surrogate: expected a function of the same arguments, got {function!r}")
        REGISTERED[operation] = function
        return function

    return add if surrogate is None else add(surrogate)
