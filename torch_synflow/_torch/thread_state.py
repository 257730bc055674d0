"""Torch's per-thread state under modes and transforms, which is restored after an interrupt.

Python code exits modes and transforms, so an interrupt during an exit keeps them on their stack.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import _C, overrides
from torch._C import _functorch
from torch.utils import _python_dispatch

from torch_synflow._torch.mapping import APIS
from torch_synflow._torch.transforms import active_transforms

#: the folders and files of this package and of torch, whose frames may hold open contexts
OURS = (f"{Path(__file__).parents[1]}{os.sep}", f"{Path(torch.__file__).parent}{os.sep}", contextlib.__file__)
_AUTOCAST = ("cpu", "cuda")


class ThreadState:
    """The current depths of torch's stacks, and its switches."""

    def __init__(self) -> None:
        self._found = _state()
        self._apply = vars(torch.autograd.Function)["apply"]
        self._vmap = APIS.vmap_impl

    def restore(self, error: BaseException) -> None:
        """Restore everything after an error that may have occurred during the exit of a mode or a transform.

        Context managers that are pending in frames of the package or of torch end now, not when the error is collected.
        The variables of these frames are lost; those of the user's code stay for a debugger.
        """
        for caught in _chain(error):
            for frame, _ in traceback.walk_tb(caught.__traceback__):
                if frame.f_code.co_filename.startswith(OURS):
                    with contextlib.suppress(RuntimeError):  # of frames that are still running
                        frame.clear()
        torch.autograd.Function.apply = self._apply
        APIS.vmap_impl = self._vmap
        if _state() == self._found:
            return
        modes, dispatch, transforms, grad, nesting, autocast = self._found
        while _C._len_torch_function_stack() > modes:
            overrides._pop_mode()
        while _C._len_torch_dispatch_stack() > dispatch:
            _python_dispatch._pop_mode()
        while active_transforms() > transforms:
            _leave_transform()
        torch.set_grad_enabled(grad)
        while _nesting() > nesting:
            torch.autocast_decrement_nesting()
        for device, enabled in zip(_AUTOCAST, autocast, strict=True):
            torch.set_autocast_enabled(device, enabled)


def hidden_interrupt(error: BaseException) -> BaseException | None:
    """The interrupt behind an assertion in torch, as after an interrupt during the entry of a transform."""
    if not isinstance(error, RuntimeError) or "INTERNAL ASSERT FAILED" not in str(error):
        return None
    return next((caught for caught in _chain(error) if not isinstance(caught, Exception)), None)


def _chain(error: BaseException) -> list[BaseException]:
    """An error and the errors that caused it."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        caught = waiting.pop()
        if caught is not None and caught not in found:
            found.append(caught)
            waiting += [caught.__context__, caught.__cause__]
    return found


def _state() -> tuple[int, int, int, bool, int, tuple[bool, ...]]:
    stacks = _C._len_torch_function_stack(), _C._len_torch_dispatch_stack(), active_transforms()
    autocast = tuple(map(torch.is_autocast_enabled, _AUTOCAST))
    return *stacks, torch.is_grad_enabled(), _nesting(), autocast


def _leave_transform() -> None:
    kinds = _functorch.TransformType
    leave = {kinds.Grad: "_grad_decrement_nesting", kinds.Jvp: "_jvp_decrement_nesting"}
    top: Any = _functorch.peek_interpreter_stack()
    getattr(_functorch, leave.get(top.key(), "pop_dynamic_layer_stack"))()


def _nesting() -> int:
    torch.autocast_increment_nesting()
    return int(torch.autocast_decrement_nesting())
