"""The random sources that a forward pass draws from, found by comparing their states."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch


class Draws:
    """The states of the random sources of the process."""

    def __init__(self) -> None:
        self._before = _states()

    def sources(self) -> list[str]:
        """The names of the sources that have advanced since."""
        now = _states()
        return [name for name, state in self._before.items() if not _same(state, now[name])]


def _states() -> dict[str, Any]:
    states: dict[str, Any] = {"torch": torch.get_rng_state(), "Python's random": random.getstate()}
    if torch.cuda.is_initialized():
        states["torch.cuda"] = torch.cat(torch.cuda.get_rng_state_all())
    if "numpy" in sys.modules:
        kind, keys, *rest = sys.modules["numpy"].random.get_state()
        states["numpy.random"] = (kind, keys.tobytes(), *rest)
    return states


def _same(first: Any, second: Any) -> bool:
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else bool(first == second)
