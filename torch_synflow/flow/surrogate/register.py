"""Surrogates that users register."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch_synflow.flow.surrogate.mode import Surrogate
from torch_synflow.flow.surrogate.operations import REGISTERED


def register(operation: Callable[..., Any], surrogate: Surrogate | None = None) -> Callable[..., Any]:
    """Register a surrogate of an operation, a positively homogeneous function of the same arguments.

    Args:
        operation: the operation in the model: a function such as ``torch.special.erf``, a method such as
            ``torch.Tensor.erf``, or a subclass of ``torch.autograd.Function``.
        surrogate: the function that SynFlow calls instead, with the same arguments. For an activation, use
            ``torch.relu`` of the input. Without it, ``register`` is a decorator.

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
        raise TypeError(f"operation: expected an operation of the model, such as torch.special.erf, got {operation!r}")

    def add(function: Surrogate) -> Surrogate:
        if not callable(function):
            raise TypeError(f"surrogate: expected a function of the same arguments, got {function!r}")
        REGISTERED[operation] = function
        return function

    return add if surrogate is None else add(surrogate)
