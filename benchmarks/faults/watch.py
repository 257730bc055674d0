"""Places inside torch and the library where a fault can happen, watched from outside the call."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode  # documented, whatever its module is called

import torch_synflow
from benchmarks.faults.fuse import Fuse

#: the code that a moment is one of: the library's, torch's, and what Python has for context managers
_CODE = tuple(str(Path(module.__file__ or "").parent) for module in (torch_synflow, torch))
MOMENT = "a moment in the library's or torch's code"
#: where what was opened could stay open
EDGE = "a moment at which a context is entered or left"


class Functions(TorchFunctionMode):
    """Counts the functions of torch that are called, before and after each."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.fuse = fuse

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Report a place, make the call, report a place."""
        self.fuse.passes("a function of torch")
        result = func(*args, **(kwargs or {}))
        self.fuse.passes("a function of torch")
        return result


class Operations(TorchDispatchMode):
    """Counts the operations that torch dispatches, those of backward passes included, before and after each."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fuse = fuse

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Report a place, make the call, report a place."""
        self.fuse.passes("an operation of torch")
        result = func(*args, **(kwargs or {}))
        self.fuse.passes("an operation of torch")
        return result


@contextlib.contextmanager
def forward_passes(fuse: Fuse) -> Iterator[None]:
    """Counts the forward passes of modules, before and after each."""

    def hook(*_: Any) -> None:
        fuse.passes("forward of a module")

    handles = [
        nn.modules.module.register_module_forward_pre_hook(hook),
        nn.modules.module.register_module_forward_hook(hook),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def moments(fuse: Fuse) -> Iterator[None]:
    """Counts the moments at which Python checks for signals: when a function begins, and when a C function returns.

    A place is a line of code with the kind of moment, so that each line is as likely as any other, however often it
    runs.
    """

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if event in ("call", "c_return"):
            code = frame.f_code
            context = code.co_filename == contextlib.__file__
            if context or code.co_filename.startswith(_CODE):
                edge = context or code.co_name in ("__enter__", "__exit__", "restore")
                fuse.passes((EDGE if edge else MOMENT, event, code.co_filename, code.co_name, frame.f_lineno))

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


WATCHES: dict[str, Callable[[Fuse], AbstractContextManager[object]]] = {
    "functions": Functions,
    "operations": Operations,
    "forward": forward_passes,
    "moments": moments,
}
