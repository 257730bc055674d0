"""Schedules: plain functions of a step, the number of steps and the final density.

A schedule is any callable ``schedule(step, steps, density)`` that returns the density, kept / total, to
reach after iteration ``step`` of ``steps``. It starts below or at 1, never rises, and ends at ``density``.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable

Schedule = Callable[[int, int, float], float]


def exponential(step: int, steps: int, density: float) -> float:
    r"""Density after ``step`` of ``steps`` when each iteration keeps the same fraction of what is left.

    .. math:: d_k = d^{\,k / n}

    Args:
        step: the iteration that ends, 1 to ``steps``.
        steps: how many iterations there are.
        density: kept / total after the last one, between 0 and 1.

    Source: Tanaka et al. 2020, algorithm 1 and section 6, where it is ``rho ** (-k / n)`` of a compression ratio rho.

    Example:
        >>> [exponential(k, 4, 0.0001) for k in (1, 2, 3, 4)]
        [0.1, 0.01, 0.001, 0.0001]
    """
    # exact at the end: density ** 1.0 is density
    return float(density ** (step / steps))


def linear(step: int, steps: int, density: float) -> float:
    r"""Density after ``step`` of ``steps`` when each iteration removes the same number of entries.

    .. math:: d_k = 1 - (1 - d)\, k / n

    Args:
        step: the iteration that ends, 1 to ``steps``.
        steps: how many iterations there are.
        density: kept / total after the last one, between 0 and 1.

    Source: the other schedule of the SynFlow authors' code, beside the exponential one.

    Example:
        >>> [linear(k, 4, 0.5) for k in (1, 2, 3, 4)]
        [0.875, 0.75, 0.625, 0.5]
    """
    return density if step == steps else 1.0 - (1.0 - density) * step / steps


def kept_counts(schedule: Schedule, steps: int, total: int, kept: int) -> list[int]:
    """How many of ``total`` entries are kept after each step: never rising, and exactly ``kept`` at the end.

    Raises ``TypeError`` when ``schedule`` is no callable or returns no number, ``ValueError`` when it rises,
    leaves the range from the final density to 1, or ends elsewhere than at ``kept / total``.
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
                "a pruned entry can not come back"
            )
        before = min(now, before)
        counts.append(max(round(before * total), kept))
    if not math.isclose(before, density, rel_tol=1e-6, abs_tol=0.5 / max(total, 1)):
        raise ValueError(
            f"schedule: expected the final density {density} at step {steps} of {steps}, got {before}; "
            "let the last step return its density argument"
        )
    counts[-1] = kept
    return counts
