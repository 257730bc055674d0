"""Warnings that point at the line of the user's code that led to them."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

from torch.nn.utils import prune

#: files whose lines mean nothing to a user
_OURS = (f"{Path(__file__).parent}{Path('/')}", prune.__file__)


def warn_user(message: str) -> None:
    """Give a ``UserWarning`` at the innermost line that is neither the package's nor that of torch's pruning."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
