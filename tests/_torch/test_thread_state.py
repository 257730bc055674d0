"""Stacks and switches of torch that code left open are put back; an upgrade of torch that renames them fails here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._C import _functorch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from torch_synflow._torch.mapping import run_vmap_as_loop
from torch_synflow._torch.thread_state import ThreadState, hidden_interrupt

#: modes outlive their stack, because torch up to 2.8 pops one without a reference of its own
KEPT: list[TorchDispatchMode] = []


class Mode(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def mode() -> None:
    Mode().__enter__()


def dispatch_mode() -> None:
    KEPT.append(TorchDispatchMode())
    KEPT[-1].__enter__()


def transform() -> None:
    _functorch._grad_increment_nesting()


def autocast() -> None:
    torch.autocast("cpu").__enter__()


def no_grad() -> None:
    torch.set_grad_enabled(False)


def loops() -> None:
    run_vmap_as_loop(over=callable)


OPENED = [mode, dispatch_mode, transform, autocast, no_grad, loops]


@pytest.mark.parametrize("leave_open", OPENED, ids=lambda function: function.__name__)
def test_what_is_left_open_is_closed(leave_open: Callable[[], None]) -> None:
    before = ThreadState()
    leave_open()
    assert vars(ThreadState()) != vars(before)
    before.restore(ValueError())
    assert vars(ThreadState()) == vars(before)


def test_what_was_open_before_stays_open() -> None:
    with Mode(), torch.no_grad(), torch.autocast("cpu"):
        inside = ThreadState()
        inside.restore(KeyboardInterrupt())
        assert vars(ThreadState()) == vars(inside)
        mode()
        inside.restore(KeyboardInterrupt())
        assert vars(ThreadState()) == vars(inside)


def test_an_interrupt_that_an_assertion_of_torch_hides_is_found() -> None:
    def failing(first: type[BaseException], message: str) -> BaseException:
        try:
            try:
                raise first
            finally:
                raise RuntimeError(message)
        except RuntimeError as error:
            return error

    asserted = "!dynamicLayerStack.empty() INTERNAL ASSERT FAILED at DynamicLayer.cpp"
    assert isinstance(hidden_interrupt(failing(KeyboardInterrupt, asserted)), KeyboardInterrupt)
    assert hidden_interrupt(failing(KeyboardInterrupt, "a user's own translation")) is None
    assert hidden_interrupt(failing(OSError, asserted)) is None
    assert hidden_interrupt(KeyboardInterrupt()) is None
