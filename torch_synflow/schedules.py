"""Schedules, which are plain functions of a step, the number of steps and the final density.

A schedule is a callable ``schedule(step, steps, density)`` that returns the density, kept / total, after iteration
``step`` of ``steps``. It starts at 1 or below, never rises, and ends at ``density``.
"""

from __future__ import annotations

from collections.abc import Callable

Schedule = Callable[[int, int, float], float]

__all__ = ["exponential", "linear"]


def __dir__() -> list[str]:
    return sorted(__all__)


def exponential(step: int, steps: int, density: float) -> float:
    r"""Density after ``step`` of ``steps`` if each iteration keeps the same fraction of the remaining weights.

    .. math:: d_k = d^{\,k / n}

    Args:
        step: the iteration that has just ended, from 1 to ``steps``.
        steps: the number of iterations.
        density: kept / total after the last one, between 0 and 1.

    Source: Tanaka et al. 2020, algorithm 1 and section 6, where it is ``rho ** (-k / n)`` for a compression ratio rho.

    Example:
        >>> [exponential(k, 4, 0.0001) for k in (1, 2, 3, 4)]
        [0.1, 0.01, 0.001, 0.0001]
    """
    # exact at the end: density ** 1.0 is density
    return float(density ** (step / steps))


def linear(step: int, steps: int, density: float) -> float:
    r"""Density after ``step`` of ``steps`` if each iteration removes the same number of weights.

    .. math:: d_k = 1 - (1 - d)\, k / n

    Args:
        step: the iteration that has just ended, from 1 to ``steps``.
        steps: the number of iterations.
        density: kept / total after the last one, between 0 and 1.

    Source: the SynFlow authors' code, which has this schedule and the exponential one.

    Example:
        >>> [linear(k, 4, 0.5) for k in (1, 2, 3, 4)]
        [0.875, 0.75, 0.625, 0.5]
    """
    return density if step == steps else 1.0 - (1.0 - density) * step / steps
