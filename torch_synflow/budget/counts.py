"""How many elements to remove, by torch's rules for ``amount``, and how many to keep after each iteration."""

from __future__ import annotations

import math
import numbers
from typing import Any

from torch_synflow.schedules import Schedule


def check_amount(amount: Any) -> None:
    """Raise unless ``amount`` is a fraction between 0 and 1, or a count."""
    if isinstance(amount, bool) or not isinstance(amount, numbers.Real):
        raise TypeError(f"amount: expected a float between 0 and 1 or an int, got {amount!r}")
    if isinstance(amount, numbers.Integral):
        if amount < 0:
            raise ValueError(f"amount: expected a count of at least 0, got {amount}")
    elif math.isnan(amount) or not 0.0 <= float(amount) <= 1.0:
        raise ValueError(
            f"amount: expected a float between 0 and 1 (a fraction of the weights not yet pruned), got {amount!r}"
            f"{in_percent(amount)}; an int is a number of weights"
        )


def in_percent(amount: Any) -> str:
    """The hint for an amount that looks like a percentage; empty for any other."""
    return f"; for {amount:g} percent, write {amount / 100:g}" if 10 <= amount < 100 else ""


def check_count(name: str, value: Any, least: int) -> None:
    """Raise unless the argument ``name`` is an int of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: expected an int of at least {least}, got {value!r}")
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")


def to_remove(amount: Any, alive: int) -> int:
    """How many of ``alive`` elements ``amount`` removes, rounded as torch rounds."""
    if not isinstance(amount, numbers.Integral):
        return round(float(amount) * alive)
    if int(amount) > alive:
        raise ValueError(
            f"amount: expected at most {alive}, the number of weights not yet pruned, got {amount}{in_percent(amount)}"
        )
    return int(amount)


def kept_counts(schedule: Schedule, steps: int, total: int, kept: int) -> list[int]:
    """How many of ``total`` elements are kept after each step: never rising, and exactly ``kept`` at the end.

    Raises ``TypeError`` if ``schedule`` is not callable or returns no number. Raises ``ValueError`` if it rises, leaves
    the range from the final density to 1, or does not end at ``kept / total``.
    """
    if not callable(schedule):
        raise TypeError(
            f"schedule: expected a function schedule(step, steps, density), got {schedule!r}; "
            "torch_synflow.schedules has exponential and linear"
        )
    density = kept / total if total else 1.0
    counts: list[int] = []
    before = 1.0
    for step in range(1, steps + 1):
        now = schedule(step, steps, density)
        if isinstance(now, bool) or not isinstance(now, numbers.Real):
            raise TypeError(f"schedule: expected a density between 0 and 1, got {now!r} at step {step} of {steps}")
        now = float(now)
        if not 0.0 <= now <= 1.0 or (now == 0.0 and kept):
            raise ValueError(
                f"schedule: expected densities in (0, 1], got {now} at step {step} of {steps}; "
                "a schedule returns kept / total, not the fraction to remove"
            )
        if now > before and not math.isclose(now, before, rel_tol=1e-9):
            raise ValueError(
                f"schedule: expected densities that never rise, got {now} at step {step} of {steps} after {before}; "
                "a pruned weight cannot come back"
            )
        before = min(now, before)
        counts.append(max(round(before * total), kept))
    if not math.isclose(before, density, rel_tol=1e-6, abs_tol=0.5 / max(total, 1)):
        raise ValueError(
            f"schedule: expected the final density {density} at step {steps} of {steps}, got {before}; "
            "return the density argument in the last step"
        )
    counts[-1] = kept
    return counts
