"""What ``amount`` says: how many entries to remove, as torch counts."""

from __future__ import annotations

import math
import numbers
from typing import Any


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
