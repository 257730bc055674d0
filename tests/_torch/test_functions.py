"""Autograd functions are seen by modes as one known operation, within ``torch.func`` alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torch_synflow._torch.functions import autograd_function


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, by: float) -> Tensor:
        return by * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.by = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.by * gradient, None


class Seen(TorchFunctionMode):
    """Notes what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...]]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append((func, args))
        return func(*args, **(kwargs or {}))


def test_an_autograd_function_within_torch_func_is_seen_with_its_class_first() -> None:
    with Seen() as seen:
        torch.func.vjp(lambda x: Doubled.apply(x, 2.0), torch.ones(3))
    found = [(autograd_function(func, args), args) for func, args in seen.calls]
    found = [(made, args) for made, args in found if made is not None]
    assert len(found) == 1, (
        "torch.func no longer turns autograd functions into custom_function_call, but into "
        f"{[getattr(func, '__name__', func) for func, _ in seen.calls]}; see torch_synflow/_torch/functions.py"
    )
    made, args = found[0]
    assert made is Doubled, f"custom_function_call has {made!r} first, no class; see torch_synflow/_torch/functions.py"
    assert (type(args[1]), args[2:]) == (Tensor, (2.0,)), (
        f"custom_function_call has {args[1:]} after the class, not what was applied; "
        "see torch_synflow/_torch/functions.py"
    )


def test_other_operations_are_none() -> None:
    with Seen() as seen:
        torch.func.vjp(lambda x: torch.relu(x) + 1, torch.ones(3))
    assert [autograd_function(func, args) for func, args in seen.calls if func is torch.relu] == [None]
    assert not any(autograd_function(func, args) for func, args in seen.calls)
