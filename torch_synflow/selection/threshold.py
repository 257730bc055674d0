"""The threshold between kept and pruned scores, bracketed by a sample and then exact.

Scores may have an error. Scores too close to the threshold to be distinguished are computed exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from torch_synflow.selection.stream import ScoreStream

#: the number of scores that are drawn to bracket the threshold; more draws leave fewer scores in the bracket
_SAMPLE = 1 << 14

#: the width of a bracket in standard deviations; a wider one costs more each time than the rare second attempt
_DEVIATIONS = (3.0, 9.0)


@dataclass
class _Group:
    """Consecutive tensors of a stream whose scores are ranked together.

    Attributes:
        scores: the stream.
        tensors: the numbers of the tensors.
        alive: a mask of the elements that are left.
        total: the number of these elements.
        kept: the mask in which kept elements are marked.
    """

    scores: ScoreStream
    tensors: range
    alive: Tensor
    total: int
    kept: Tensor

    @property
    def start(self) -> int:
        """The place in the stream at which the group starts."""
        return self.scores.starts[self.tensors.start]


def mark_highest(scores: ScoreStream, tensors: range, alive: Tensor, total: int, keep: int, kept: Tensor) -> None:
    """Mark the highest scores of consecutive tensors; ties go to the first.

    A sample brackets the threshold, so only scores in the bracket are ranked.

    Args:
        scores: the scores of these tensors, and perhaps of others.
        tensors: the numbers of the tensors.
        alive: a mask of the elements that are left.
        total: the number of these elements.
        keep: the number of elements to keep.
        kept: the mask in which they are marked.

    Raises:
        ValueError: if scores are NaN.
    """
    group = _Group(scores, tensors, alive, total, kept)
    for deviations in (*_DEVIATIONS, None):
        if deviations is None:
            group.scores.exactly()
        low, high = _bracket(group, keep, deviations) if deviations else (-math.inf, math.inf)
        between, places = _between(group, low, high)
        count = int(group.kept.count_nonzero())
        if 0 <= count - keep <= len(between):
            marks = lowest_of(group.scores, between, places + group.start, count - keep, low, high)
            if marks is not None:
                kept[places[marks]] = False
                return
            group.scores.exactly()
    raise ValueError("scores: expected finite scores, got NaN")


def _bracket(group: _Group, keep: int, deviations: float) -> tuple[float, float]:
    """Two values that bracket the ``keep``-th highest score, by a sample and a number of standard deviations."""
    if group.total <= 4 * _SAMPLE:
        return -math.inf, math.inf
    alive, scores = group.alive, group.scores
    generator = torch.Generator(alive.device).manual_seed(0)
    within = torch.rand(_SAMPLE, generator=generator, device=alive.device, dtype=torch.float64)
    places = within.add_(torch.arange(_SAMPLE, device=alive.device)).mul_(len(alive) / _SAMPLE).long()
    sample = scores.at(places[alive.index_select(0, places)] + group.start)
    rank = (1.0 - keep / group.total) * len(sample)
    margin = deviations * math.sqrt(rank * keep / group.total) + 4.0  # of the rank
    below, above = int(rank - margin), int(rank + margin)
    reach = 4.0 * scores.error  # so that scores that must be computed exactly lie between
    return (
        float(sample.kthvalue(below).values) * (1.0 - reach) if below > 0 else -math.inf,
        float(sample.kthvalue(above).values) * (1.0 + reach) if above <= len(sample) else math.inf,
    )


def _between(group: _Group, low: float, high: float) -> tuple[Tensor, Tensor]:
    """The survivors' scores from ``low`` to ``high``, and their places; those from ``low`` up are marked."""
    values, places, start = [], [], 0
    ones = torch.empty(2, 0)
    for part, unit in group.scores.parts(group.tensors):
        here = slice(start, start + len(part))
        kept = group.kept[here]
        if ones.shape[1] < len(part) or ones.dtype != part.dtype:
            ones = part.new_empty(2, len(part))
        above, below = ones[:, : len(part)]
        kept.copy_(torch.ge(part, low / unit, out=above))  # twice as fast as comparing into booleans
        if low <= 0:  # otherwise pruned elements, which score zero, are below it
            kept.logical_and_(group.alive[here])
        place = indices_of(torch.le(part, high / unit, out=below).bool().logical_and_(kept))
        found = part.index_select(0, place)
        values.append(found if unit == 1.0 and not group.scores.error else found.double().mul_(unit))
        places.append(place.add_(start))
        start += len(part)
    return torch.cat(values), torch.cat(places)


def lowest_of(
    scores: ScoreStream, values: Tensor, places: Tensor, count: int, low: float, high: float
) -> Tensor | None:
    """Mark the ``count`` lowest of the scores from ``low`` to ``high``, whose ``values`` may have an error.

    Scores too close to the threshold to be distinguished are computed exactly at their ``places``. Returns ``None`` if
    they may lie outside.
    """
    if not scores.error:
        return _lowest(values, count)
    if not count:
        return torch.zeros_like(values, dtype=torch.bool) if low == -math.inf else None
    threshold = float(values.kthvalue(count).values)
    least, greatest = threshold * (1 - 3 * scores.error), threshold * (1 + 3 * scores.error)
    if not (least > max(low, scores.floor) and greatest < high):
        return None
    marks = values < least
    near = indices_of((values <= greatest).logical_and_(~marks))
    exact = scores.at(places.index_select(0, near)).to(values.dtype)
    if not bool(((values[near] - exact).abs() <= scores.error * exact).all()):
        return None
    marks[near[_lowest(exact, count - int(marks.count_nonzero()))]] = True
    return marks


def _lowest(values: Tensor, count: int) -> Tensor:
    """Mark the ``count`` lowest of a vector; ties go to the last."""
    marks = torch.zeros_like(values, dtype=torch.bool)
    if count:
        threshold = values.kthvalue(count).values
        torch.lt(values, threshold, out=marks)
        ties = indices_of(values == threshold)
        marks[ties[len(ties) - (count - int(marks.count_nonzero())) :]] = True
    return marks


def indices_of(marks: Tensor) -> Tensor:
    """The flat indices of the marked elements."""
    flat = marks.reshape(-1)
    if len(flat) % 8 or flat.storage_offset() % 8:
        return flat.nonzero().squeeze(1)
    groups = flat.view(torch.int64).nonzero()  # eight marks at a time, which is quicker if few are set
    within = flat.view(-1, 8).index_select(0, groups.squeeze(1)).nonzero()
    return groups.squeeze(1).index_select(0, within[:, 0]).mul_(8).add_(within[:, 1])
