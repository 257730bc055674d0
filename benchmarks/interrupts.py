"""Ctrl-C and SIGTERM: each ends a command, once, in one line."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, by which schedulers of clusters end a job, like an interrupt by a person."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def raising_dropped_ones() -> Iterator[None]:
    """Raise an interrupt again that Python drops with a traceback, as it does in callbacks of weak references."""

    def again(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            usual(dropped)
            return
        main = threading.main_thread().ident
        later = threading.Timer(0.01, signal.pthread_kill, [main, signal.SIGINT])  # at once it would be dropped too
        later.daemon = True
        later.start()

    usual, sys.unraisablehook = sys.unraisablehook, again
    try:
        yield
    finally:
        sys.unraisablehook = usual


def ignore() -> None:
    """Let what ends with the process, as Ray does, end undisturbed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
