"""Autograd functions are seen by modes as one operation, within ``torch.func`` and where they are shown."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torch_synflow._torch.functions import ORIGINAL, autograd_function, run_unseen, show_autograd_functions


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


class Tripled(torch.autograd.Function):
    """Written the older way, which torch.func refuses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, by: float = 3.0) -> Tensor:
        ctx.by = by
        return by * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.by * gradient, None


def test_autograd_functions_that_are_shown_are_one_operation_with_their_class_first() -> None:
    x = torch.ones(3, requires_grad=True)
    show_autograd_functions()
    try:
        with Seen() as seen:
            y = Tripled.apply(x)
        z = Tripled.apply(x)  # without a mode as ever
    finally:
        show_autograd_functions(shown=False)
    assert vars(torch.autograd.Function)["apply"] is ORIGINAL
    assert [autograd_function(func, args) for func, args in seen.calls] == [Tripled], "nothing of its inside is seen"
    assert seen.calls[0][1][1] is x
    assert torch.equal(y, z)
    y.sum().backward()
    assert torch.equal(x.grad, torch.full((3,), 3.0))


def test_autograd_functions_are_not_shown_by_default() -> None:
    with Seen() as seen:
        Tripled.apply(torch.ones(3, requires_grad=True))
    assert Tripled not in [autograd_function(func, args) for func, args in seen.calls]


def test_a_function_that_is_run_unseen_is_seen_by_no_mode_and_differentiated() -> None:
    x = torch.ones(2, requires_grad=True)
    show_autograd_functions()
    try:
        with Seen() as seen:
            y = run_unseen(Doubled, x, 3.0)
    finally:
        show_autograd_functions(shown=False)
    assert seen.calls == []
    y.sum().backward()
    assert torch.equal(x.grad, torch.full((2,), 3.0))
