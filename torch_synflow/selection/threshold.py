"""Which of a vector of scores are the lowest, exactly, also where they are known with an error only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from torch_synflow.selection.stream import ScoreStream

#: of so many values the lowest are found without a sample
_FEW = 1 << 12


def lowest_of(
    scores: ScoreStream,
    group: Sequence[int],
    values: Tensor,
    places: Sequence[Tensor],
    count: int,
    low: float,
    high: float,
) -> Tensor | None:
    """Mark the ``count`` lowest of the scores from ``low`` to ``high``, which ``values`` may give with an error.

    Those that are too near to the threshold to be told apart are looked up. ``None`` if they may lie outside.
    """
    if not scores.error:
        return _lowest(values, count)
    if not count:
        return torch.zeros_like(values, dtype=torch.bool) if low == -math.inf else None
    threshold = float(_kth_lowest(values, count))
    least, greatest = threshold * (1 - 3 * scores.error), threshold * (1 + 3 * scores.error)
    if not (least > max(low, scores.floor) and greatest < high):
        return None
    marks = values < least
    near = indices_of((values <= greatest).logical_and_(~marks))
    exact = torch.empty_like(near, dtype=values.dtype)
    ends = [*accumulate(map(len, places), initial=0)]
    bounds: list[int] = torch.searchsorted(near, near.new_tensor(ends)).tolist()
    for number, place, start, (first, last) in zip(group, places, ends, pairwise(bounds), strict=False):
        if first < last:
            exact[first:last] = scores.at(number, place[near[first:last] - start])
    if not bool(((values[near] - exact).abs() <= scores.error * exact).all()):
        return None
    marks[near[_lowest(exact, count - int(marks.count_nonzero()))]] = True
    return marks


def _lowest(values: Tensor, count: int) -> Tensor:
    """Mark the ``count`` lowest of a vector; of equal ones the last."""
    marks = torch.zeros_like(values, dtype=torch.bool)
    if count:
        threshold = _kth_lowest(values, count)
        torch.lt(values, threshold, out=marks)
        ties = indices_of(values == threshold)
        marks[ties[len(ties) - (count - int(marks.count_nonzero())) :]] = True
    return marks


def _kth_lowest(values: Tensor, count: int) -> Tensor:
    """As ``kthvalue``, of the few that a sample leaves: that is slow on many."""
    step = len(values) // _FEW
    if step > 1:
        sample = values[::step]
        rank, margin = count / len(values) * len(sample), 2.0 * math.sqrt(len(sample))
        low = sample.kthvalue(max(1, int(rank - margin))).values
        high = sample.kthvalue(min(len(sample), int(rank + margin))).values
        below, between = int((values < low).count_nonzero()), values[(values >= low) & (values <= high)]
        if below < count <= below + len(between):
            return between.kthvalue(count - below).values
    return values.kthvalue(count).values


def number_of(marks: Tensor) -> Tensor:
    """How many are marked, as a tensor; eight marks are added at a time, which torch does not do by itself."""
    flat = marks.reshape(-1)
    if flat.storage_offset() % 8:
        return flat.count_nonzero()
    many = len(flat) // 2040 * 2040  # no sum of 255 leaves its byte
    of_eights = flat[:many].view(torch.int64).view(-1, 255).sum(1)
    return of_eights.view(torch.uint8).sum() + flat[many:].count_nonzero()


def indices_of(marks: Tensor) -> Tensor:
    """The flat indices of what is marked."""
    flat = marks.reshape(-1)
    if len(flat) % 8 or flat.storage_offset() % 8:
        return flat.nonzero().squeeze(1)
    groups = flat.view(torch.int64).nonzero()  # eight marks at a time, which is quicker where few are
    within = flat.view(-1, 8).index_select(0, groups.squeeze(1)).nonzero()
    return groups.squeeze(1).index_select(0, within[:, 0]).mul_(8).add_(within[:, 1])
