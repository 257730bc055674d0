"""Warnings that point at the line of the user's code that led to them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch.nn.utils import prune

#: files whose lines mean nothing to a user
_OURS = (f"{Path(__file__).parent}{Path('/')}", prune.__file__)
#: so many names are written out
_NAMES = 8


class EmptiedLayersWarning(UserWarning):
    """A call has pruned layers until nothing was left of them.

    Example:
        >>> import warnings
        >>> from torch_synflow import prune
        >>> warnings.simplefilter("error", prune.EmptiedLayersWarning)  # prune nothing rather than that
        >>> warnings.simplefilter("ignore", prune.EmptiedLayersWarning)  # as in sweeps that go as far
    """


def warn_user(message: str, category: type[UserWarning] = UserWarning) -> None:
    """Give a warning at the innermost line that is neither the package's nor that of torch's pruning."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def listed(names: Sequence[str]) -> str:
    """Names with commas, the first few of many."""
    shown = ", ".join(names[:_NAMES])
    return shown if len(names) <= _NAMES else f"{shown} and {len(names) - _NAMES} more"
