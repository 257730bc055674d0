"""Autograd functions that modes can see, which torch shows to modes only inside ``torch.func``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._C import DisableTorchFunction, _is_torch_function_mode_enabled
from torch.overrides import handle_torch_function

#: the original ``apply`` of all autograd functions
ORIGINAL = vars(torch.autograd.Function)["apply"]


def run_autograd_function(function: Any, *args: Any, **kwargs: Any) -> Any:
    """``function.apply`` as an operation that each mode of this thread sees, with its inside hidden."""
    if _is_torch_function_mode_enabled():
        return handle_torch_function(run_autograd_function, (), function, *args, **kwargs)
    return ORIGINAL.__get__(None, function)(*args, **kwargs)


def run_unseen(function: Any, *args: Any) -> Any:
    """``function.apply``, hidden from all modes of this thread, as is its inside."""
    with DisableTorchFunction():
        return ORIGINAL.__get__(None, function)(*args)


def show_autograd_functions(*, shown: bool = True) -> None:
    """Show each call of an autograd function to modes, or none, as torch does."""
    torch.autograd.Function.apply = classmethod(run_autograd_function) if shown else ORIGINAL


def autograd_function(func: Callable[..., Any], args: Sequence[Any]) -> Any:
    """The subclass of ``torch.autograd.Function`` that ``func(*args)`` runs, ``None`` for any other operation.

    The class is the first argument, followed by the arguments of ``apply``. Inside ``torch.func``, the operation is
    ``custom_function_call``.
    """
    if func is run_autograd_function or getattr(func, "__name__", "") == "custom_function_call":
        return args[0]
    return None
