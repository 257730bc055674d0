"""The progress bar of the loop."""

from __future__ import annotations

import sys
from typing import Any

#: a bar that nobody asked for appears after so many seconds
_DELAY = 5.0


def progress_bar(wanted: bool | None, steps: int, method: str) -> Any:
    """A bar that counts iterations, or ``None`` where there is none.

    Args:
        wanted: ``True`` for a bar at once; ``None`` for one after five seconds, if the session is interactive and tqdm
            is installed; ``False`` for none.
        steps: the number of iterations.
        method: the name of the method's class, whose short form is the bar's title.

    Raises:
        ImportError: if a bar is asked for and tqdm is not installed.
    """
    if wanted is False or (wanted is None and not _interactive()):
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        if wanted is None:
            return None
        raise ImportError(
            'progress: a bar needs tqdm, which is not installed: pip install "torch_synflow[progress]"'
        ) from error
    delay = 0.0 if wanted else _DELAY
    return tqdm(total=steps, desc=method.removesuffix("Unstructured"), unit="iteration", delay=delay)


def _interactive() -> bool:
    """Whether somebody is looking: a terminal, a prompt of Python, or a notebook."""
    ipython = sys.modules.get("IPython")
    return sys.stderr.isatty() or hasattr(sys, "ps1") or (ipython is not None and ipython.get_ipython() is not None)
