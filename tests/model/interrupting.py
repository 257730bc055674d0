"""Interrupts at chosen bytecodes: where a signal may arrive, one at a time."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

import torch_synflow

#: the code in which interrupts arrive: the package, and what leaves modes, transforms and context managers
PACKAGE = str(Path(torch_synflow.__file__).parent)
TORCH = str(Path(torch.__file__).parent)
WHERE = (PACKAGE, f"{TORCH}/overrides.py", f"{TORCH}/_functorch", f"{TORCH}/autograd/grad_mode.py", contextlib.__file__)
#: a bytecode, by the function that it is in and its place there
Place = tuple[CodeType, int]


def places_of(work: Callable[[], object]) -> list[Place]:
    """Each bytecode that ``work`` runs, once, in the order in which it first did."""
    found: dict[Place, None] = {}

    def note(frame: FrameType) -> None:
        found.setdefault((frame.f_code, frame.f_lasti))

    with _traced(note):
        work()
    return list(found)


def interrupted_at(place: Place, time: int, work: Callable[[], object]) -> bool:
    """Run ``work`` with an interrupt before a bytecode, the ``time``-th time; whether it arrived."""
    passed = 0

    def interrupt(frame: FrameType) -> None:
        nonlocal passed
        if (frame.f_code, frame.f_lasti) == place:
            passed += 1
            if passed == time:
                raise KeyboardInterrupt("on purpose")

    try:
        with _traced(interrupt):
            work()
    except KeyboardInterrupt:
        return True
    return False


@contextlib.contextmanager
def _traced(at: Callable[[FrameType], None]) -> Iterator[None]:
    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(WHERE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            at(frame)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
