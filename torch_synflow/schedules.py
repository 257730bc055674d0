"""Schedules: plain functions of a step, the number of steps and the final density.

A schedule is any callable ``schedule(step, steps, density)`` that returns the density, kept / total, to
reach after iteration ``step`` of ``steps``. It starts below or at 1, never rises, and ends at ``density``.
"""

from __future__ import annotations

from collections.abc import Callable

Schedule = Callable[[int, int, float], float]

__all__ = ["exponential", "linear"]


def __dir__() -> list[str]:
    return sorted(__all__)


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
