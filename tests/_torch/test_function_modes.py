"""An interrupt inside torch's handling of modes reaches the user; an upgrade of torch that needs no care fails here."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode, _pop_mode

from torch_synflow._torch.function_modes import FunctionMode


class Ours(FunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Torchs(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def interrupted_in(mode: TorchFunctionMode) -> None:
    with mode:
        _pop_mode()
        raise KeyboardInterrupt


def test_torch_hides_an_interrupt_that_leaves_the_stack_short() -> None:
    with pytest.raises(RuntimeError, match="empty mode stack"):
        interrupted_in(Torchs())


def test_ours_does_not() -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_in(Ours())


def test_without_an_error_a_stack_that_is_short_is_one() -> None:
    mode = Ours()
    mode.__enter__()
    _pop_mode()
    with pytest.raises(RuntimeError, match="empty mode stack"):
        mode.__exit__(None, None, None)


def test_a_mode_sees_calls_and_is_off_the_stack_afterwards() -> None:
    seen: list[Any] = []

    class Seeing(Ours):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(func)
            return super().__torch_function__(func, types, args, kwargs)

    with Seeing():
        torch.add(torch.ones(1), 1)
    count = len(seen)
    torch.add(torch.ones(1), 1)
    assert torch.add in seen
    assert len(seen) == count
