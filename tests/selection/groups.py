"""The best of each group, by sorting one after the other."""

from __future__ import annotations

from collections.abc import Sequence


def best(scores: Sequence[float], alive: Sequence[bool], n: int, m: int) -> list[bool]:
    """By sorting each group: the highest first, and of equal ones the first."""
    kept = [False] * len(scores)
    for start in range(0, len(scores), m):
        places = [place for place in range(start, start + m) if alive[place]]
        for place in sorted(places, key=lambda place: (-scores[place], place))[:n]:
            kept[place] = True
    return kept
