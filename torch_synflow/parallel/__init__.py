"""Pruning with more than one process."""

from torch_synflow.parallel.ranks.group import alone, within
from torch_synflow.parallel.ranks.meeting import RankError

__all__ = ["RankError", "alone", "within"]


def __dir__() -> list[str]:
    return sorted(__all__)
