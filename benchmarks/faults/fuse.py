"""A fault and where it happens: each place is counted as it is passed, and at one of them an exception is raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class Stopped(BaseException):
    """What a user's own signal handler or time limit raises, which is no ``Exception``."""


#: of all branches of the tree of exceptions, and those that Python or torch treat in a way of their own
FAILURES: tuple[type[BaseException], ...] = (
    RuntimeError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, KeyError, AttributeError,
    NotImplementedError, Stopped,
)  # fmt: skip
ON_PURPOSE = "on purpose"


class Fuse:
    """Counts the places that a run passes, and raises ``failure`` where it comes to ``place`` for the ``call``-th time.

    Attributes:
        passed: how often each place was passed.
        fired: whether the exception was raised.
    """

    def __init__(self, place: Hashable = None, call: int = 1, failure: type[BaseException] = RuntimeError) -> None:
        self.place, self.call, self.failure = place, call, failure
        self.passed: Counter[Hashable] = Counter()
        self.fired = False

    def passes(self, place: Hashable) -> None:
        """Count, and raise if this is where the fault is to happen."""
        if self.fired:
            return
        self.passed[place] += 1
        if place == self.place and self.passed[place] == self.call:
            self.fired = True
            raise self.failure(ON_PURPOSE)


_lit: list[Fuse] = []


@contextmanager
def lit(fuse: Fuse) -> Iterator[None]:
    """Let ``passing`` count for ``fuse``."""
    _lit.append(fuse)
    try:
        yield
    finally:
        _lit.pop()


def passing(place: str) -> None:
    """What a user's function of this kind calls wherever it is called; does nothing outside ``lit``."""
    if _lit:
        _lit[-1].passes(place)


def injected(error: BaseException | None) -> BaseException | None:
    """Of an error and those that it came up in, the one that was injected."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if ON_PURPOSE in str(error):
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None


def hidden(error: BaseException) -> str:
    """What is wrong with an error as that of a call in which one was injected; empty if nothing.

    Another ``Exception`` may be made of an ``Exception``, but an interrupt arrives as the interrupt that it is.
    """
    cause = injected(error)
    if cause is None:
        return f"raised {error!r}, which was not injected"
    if not isinstance(cause, Exception) and type(error) is not type(cause):
        return f"raised {error!r}, which hides {type(cause).__name__}"
    return ""
