"""The highest scores of each group of consecutive elements."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def best_of_groups(scores: Tensor, alive: Tensor, n: int, m: int) -> Tensor:
    """Mark the ``n`` highest of every ``m`` consecutive scores; ties go to the first.

    Args:
        scores: finite scores of any shape, whose number of elements ``m`` divides.
        alive: a boolean tensor of their shape that marks the scores that count.
        n: the number of scores to mark in a group, or all that count if these are fewer.
        m: the number of elements of a group.

    Returns:
        A boolean tensor of their shape.

    Example:
        >>> scores = torch.tensor([[1.0, 3.0, 3.0, 3.0], [9.0, 0.0, 0.0, -1.0]])
        >>> best_of_groups(scores, scores != 9, 2, 4).int().tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    groups = scores.masked_fill(~alive, -math.inf).reshape(-1, m)
    order = groups.sort(dim=1, descending=True, stable=True).indices[:, :n]
    return torch.zeros_like(groups, dtype=torch.bool).scatter_(1, order, True).view(alive.shape).logical_and_(alive)
