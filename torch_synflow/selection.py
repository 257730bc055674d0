"""Selection: how many entries to remove, and which of a vector of scores to keep, exactly."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_SAMPLE = 1 << 16


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
    threshold = _keep_th_highest(scores, keep)
    kept = scores >= threshold
    surplus = int(kept.count_nonzero()) - keep
    if surplus:
        ties = (scores == threshold).nonzero().squeeze(1)
        kept[ties[len(ties) - surplus :]] = False
    return kept


def _keep_th_highest(scores: Tensor, keep: int) -> Tensor:
    """The ``keep``-th highest score, exactly; of many, found among those that a sample brackets it by."""
    n = scores.numel()
    if n > 4 * _SAMPLE:
        sample = scores[:: n // _SAMPLE].sort(descending=True).values
        rank = keep / n * len(sample)
        margin = 4.0 * math.sqrt(rank * (1.0 - keep / n)) + 4.0  # four standard deviations of the rank
        low, high = sample[min(int(rank + margin), len(sample) - 1)], sample[max(int(rank - margin), 0)]
        above = int((scores > high).count_nonzero())
        between = scores[(scores >= low) & (scores <= high)]
        if above < keep <= above + len(between):
            return between.kthvalue(len(between) - (keep - above) + 1).values
    return scores.kthvalue(n - keep + 1).values


class Survivors:
    """The entries that are still kept of several tensors, by their flat indices, so that work falls with them.

    Attributes:
        masks: one boolean mask a tensor, contiguous, changed in place as entries go.
        indices: the flat indices of what each keeps, ``None`` where that is everything.
    """

    def __init__(self, masks: Sequence[Tensor]) -> None:
        self.masks = [mask.clone(memory_format=torch.contiguous_format) for mask in masks]
        self.indices = [None if bool(mask.all()) else _positions(mask.view(-1)) for mask in self.masks]

    @property
    def counts(self) -> list[int]:
        """How many entries each tensor keeps."""
        pairs = zip(self.masks, self.indices, strict=True)
        return [mask.numel() if index is None else index.numel() for mask, index in pairs]

    def of(self, tensors: Sequence[Tensor]) -> Tensor:
        """The kept entries of tensors of the masks' shapes, as one vector."""
        pairs = zip((tensor.reshape(-1) for tensor in tensors), self.indices, strict=True)
        return torch.cat([flat if index is None else flat.index_select(0, index) for flat, index in pairs])

    def keep(self, kept: Tensor) -> list[Tensor]:
        """Keep those that a boolean vector marks, in the order of :meth:`of`; returns the indices that went."""
        gone = []
        for place, part in enumerate(kept.split(self.counts)):
            index = self.indices[place]
            went = _positions(~part) if index is None else index[~part]
            if len(went):
                self.masks[place].view(-1).index_fill_(0, went, False)
                self.indices[place] = _positions(part) if index is None else index[part]
            gone.append(went)
        return gone


def _positions(marks: Tensor) -> Tensor:
    return marks.nonzero().squeeze(1)


def check_amount(amount: Any) -> None:
    """Raise unless ``amount`` is a fraction between 0 and 1 or a count."""
    if isinstance(amount, bool) or not isinstance(amount, numbers.Real):
        raise TypeError(f"amount: expected a float between 0 and 1 or an int, got {amount!r}")
    if isinstance(amount, numbers.Integral):
        if amount < 0:
            raise ValueError(f"amount: expected a count of at least 0, got {amount}")
    elif math.isnan(amount) or not 0.0 <= float(amount) <= 1.0:
        raise ValueError(
            f"amount: expected a float between 0 and 1 (a fraction of the entries not yet pruned), got {amount!r}; "
            "an int is a count of entries"
        )


def to_remove(amount: Any, alive: int) -> int:
    """How many of ``alive`` entries ``amount`` removes, rounded as torch rounds."""
    if not isinstance(amount, numbers.Integral):
        return round(float(amount) * alive)
    if int(amount) > alive:
        raise ValueError(f"amount: expected at most {alive}, the number of entries not yet pruned, got {amount}")
    return int(amount)
