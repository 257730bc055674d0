"""Selection: which entries of a vector of scores to keep, exactly."""

from __future__ import annotations

import torch
from torch import Tensor


def keep_highest(scores: Tensor, keep: int) -> Tensor:
    """Mark the ``keep`` highest of a vector of scores; of equal scores the lower index is kept.

    Args:
        scores: finite scores, shape ``(n,)``, any floating dtype.
        keep: how many entries to mark, 0 to n.

    Returns:
        A boolean vector of shape ``(n,)`` with exactly ``keep`` true entries.

    Example:
        >>> keep_highest(torch.tensor([0.0, 2.0, 2.0, -3.0, 2.0]), 2)
        tensor([False,  True,  True, False, False])
    """
    n = scores.numel()
    if keep == 0 or keep == n:
        return torch.full((n,), keep == n, dtype=torch.bool, device=scores.device)
    threshold = scores.kthvalue(n - keep + 1).values
    kept = scores > threshold
    ties = (scores == threshold).nonzero().squeeze(1)
    kept[ties[: keep - int(kept.sum())]] = True
    return kept
