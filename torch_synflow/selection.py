"""Selection: how many entries to remove, and which of a vector of scores to keep, exactly."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch import Tensor


def keep_highest(scores: Tensor, keep: int) -> Tensor:
    """Mark the ``keep`` highest of a vector of scores; of equal scores the lower index is kept.

    Args:
        scores: finite scores, shape ``(n,)``, any floating dtype.
        keep: how many entries to mark, 0 to n.

    Returns:
        A boolean vector of shape ``(n,)`` with exactly ``keep`` true entries.

    Example:
        >>> keep_highest(torch.tensor([0.0, 2.0, 2.0, -3.0, 2.0]), 2)
        tensor([False,  True,  True, False, False])
    """
    n = scores.numel()
    if keep == 0 or keep == n:
        return torch.full((n,), keep == n, dtype=torch.bool, device=scores.device)
    threshold = scores.kthvalue(n - keep + 1).values
    kept = scores > threshold
    ties = (scores == threshold).nonzero().squeeze(1)
    kept[ties[: keep - int(kept.sum())]] = True
    return kept


def check_amount(amount: Any) -> None:
    """Raise unless ``amount`` is a fraction between 0 and 1 or a count."""
    if isinstance(amount, bool) or not isinstance(amount, numbers.Real):
        raise TypeError(f"amount: expected a float between 0 and 1 or an int, got {amount!r}")
    if isinstance(amount, numbers.Integral):
        if amount < 0:
            raise ValueError(f"amount: expected a count of at least 0, got {amount}")
    elif math.isnan(amount) or not 0.0 <= float(amount) <= 1.0:
        raise ValueError(
            f"amount: expected a float between 0 and 1 (a fraction of the entries not yet pruned), got {amount!r}; "
            "an int is a count of entries"
        )


def to_remove(amount: Any, alive: int) -> int:
    """How many of ``alive`` entries ``amount`` removes, rounded as torch rounds."""
    if not isinstance(amount, numbers.Integral):
        return round(float(amount) * alive)
    if int(amount) > alive:
        raise ValueError(f"amount: expected at most {alive}, the number of entries not yet pruned, got {amount}")
    return int(amount)
