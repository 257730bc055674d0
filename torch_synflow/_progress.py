"""The progress bar of the loop."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

#: seconds until a bar appears that nobody asked for
_DELAY = 5.0
_shown: ContextVar[Any] = ContextVar("bar", default=None)


@contextmanager
def shown(wanted: bool | None, steps: int, method: str) -> Iterator[Any]:
    """The bar of :func:`progress_bar` until the end of the block. Iterations and batches of data move it."""
    bar = progress_bar(wanted, steps, method)
    token = _shown.set(bar)
    try:
        yield bar
    finally:
        _shown.reset(token)
        if bar is not None:
            bar.close()


def show_batch(number: int) -> None:
    """Show how many batches of data an iteration has read."""
    bar = _shown.get()
    if bar is not None:
        bar.set_postfix_str(f"batch {number}", refresh=False)
        bar.update(0)  # draws at most ten times per second, and not before the delay


def progress_bar(wanted: bool | None, steps: int, method: str) -> Any:
    """A bar that counts iterations, or ``None``.

    Args:
        wanted: ``True`` shows a bar at once. ``None`` shows one after five seconds, if the session is interactive and
            tqdm is installed. ``False`` shows none.
        steps: the number of iterations.
        method: the name of the method's class. Its short form is the title of the bar.

    Raises:
        ImportError: if ``wanted`` is ``True`` and tqdm is not installed.
    """
    if wanted is False or (wanted is None and not _interactive()):
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        if wanted is None:
            return None
        raise ImportError(
            'progress: the bar needs tqdm, which is not installed: pip install "torch_synflow[progress]"'
        ) from error
    delay = 0.0 if wanted else _DELAY
    return tqdm(total=steps, desc=method.removesuffix("Unstructured"), unit="iteration", delay=delay)


def _interactive() -> bool:
    """Whether the session is interactive: a terminal, a Python prompt, or a notebook."""
    ipython = sys.modules.get("IPython")
    return sys.stderr.isatty() or hasattr(sys, "ps1") or (ipython is not None and ipython.get_ipython() is not None)
