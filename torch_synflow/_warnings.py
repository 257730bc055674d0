"""Warnings that point at the responsible line of the user's code."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch.nn.utils import prune

#: files whose lines a user does not need to see
_OURS = (f"{Path(__file__).parent}{Path('/')}", prune.__file__)
#: the number of names that messages list
_NAMES = 8


class EmptiedLayersWarning(UserWarning):
    """A call has emptied layers, or cut inputs or outputs of the model off.

    Example:
        >>> import warnings
        >>> from torch_synflow import prune
        >>> # rather prune nothing
        >>> warnings.simplefilter("error", prune.EmptiedLayersWarning)
        >>> # for sweeps that go this far
        >>> warnings.simplefilter("ignore", prune.EmptiedLayersWarning)
    """


def warn_user(message: str, category: type[UserWarning] = UserWarning) -> None:
    """Warn at the innermost line that is not in this package or in torch's pruning."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def listed(names: Sequence[str]) -> str:
    """The first names, separated by commas, and the number of the others."""
    shown = ", ".join(names[:_NAMES])
    return shown if len(names) <= _NAMES else f"{shown} and {len(names) - _NAMES} more"
