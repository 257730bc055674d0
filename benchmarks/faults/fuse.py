"""A fault and where it happens: each place is counted as it is passed, and at one of them an exception is raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class Stopped(BaseException):
    """An error of a user's signal handler or time limit that is not an ``Exception``."""


#: of all branches of the tree of exceptions, and those that Python or torch treat in a way of their own
FAILURES: tuple[type[BaseException], ...] = (
    RuntimeError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, KeyError, AttributeError,
    NotImplementedError, Stopped,
)  # fmt: skip
ON_PURPOSE = "on purpose"


class Fuse:
    """Counts the places that a run passes, and raises ``failure`` when it passes ``place`` for the ``call``-th time.

    Attributes:
        passed: how often each place was passed.
        fired: whether the exception was raised.
    """

    def __init__(self, place: Hashable = None, call: int = 1, failure: type[BaseException] = RuntimeError) -> None:
        self.place, self.call, self.failure = place, call, failure
        self.passed: Counter[Hashable] = Counter()
        self.fired = False

    def passes(self, place: Hashable) -> None:
        """Count this place, and raise if the fault is to happen here."""
        if self.fired:
            return
        self.passed[place] += 1
        if place == self.place and self.passed[place] == self.call:
            self.fired = True
            raise self.failure(ON_PURPOSE)


_lit: list[Fuse] = []


@contextmanager
def lit(fuse: Fuse) -> Iterator[None]:
    """Make ``passing`` count for ``fuse`` inside the context."""
    _lit.append(fuse)
    try:
        yield
    finally:
        _lit.pop()


def passing(place: str) -> None:
    """Report that a user's function of this kind runs; does nothing outside ``lit``."""
    if _lit:
        _lit[-1].passes(place)


def injected(error: BaseException | None) -> BaseException | None:
    """The injected error among an error, its causes and its contexts."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if ON_PURPOSE in str(error):
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None


def hidden(error: BaseException) -> str:
    """The violations in how a call has raised an injected error; empty if there are none.

    A call may turn an ``Exception`` into another ``Exception``, but an interrupt must arrive as the same interrupt.
    """
    cause = injected(error)
    if cause is None:
        return f"raised {error!r}, which was not injected"
    if not isinstance(cause, Exception) and type(error) is not type(cause):
        return f"raised {error!r}, which hides {type(cause).__name__}"
    return ""
