"""Autograd functions as modes see them: within ``torch.func`` each runs as the operation ``custom_function_call``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def autograd_function(func: Callable[..., Any], args: Sequence[Any]) -> Any:
    """The subclass of ``torch.autograd.Function`` that ``func(*args)`` runs, ``None`` for any other operation.

    The class is the first argument; those that the user gave to ``apply`` follow.
    """
    return args[0] if getattr(func, "__name__", "") == "custom_function_call" else None
