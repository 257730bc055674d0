"""Numbers on command lines, with an error in one sentence if they are out of range."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any


def positive(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A number above zero."""

    def parsed(text: str) -> Any:
        if not 0 < (value := kind(text)) < math.inf:
            raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
        return value

    return parsed


def not_negative(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A number of at least zero."""

    def parsed(text: str) -> Any:
        if not 0 <= (value := kind(text)) < math.inf:
            raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text}")
        return value

    return parsed


def density(text: str) -> float:
    """Kept / total."""
    if not 0 < (value := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"expected kept / total, above 0 and at most 1, got {text}")
    return value
