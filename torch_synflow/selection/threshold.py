"""The threshold between what is kept and what goes: bracketed by a sample, then exact.

Scores may be known with an error only; those too near to the threshold to be told apart are looked up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from torch_synflow.selection.stream import ScoreStream

#: so many scores are drawn to bracket the threshold: the more, the fewer lie between
_SAMPLE = 1 << 14

#: how wide a bracket is, in standard deviations: a wider one costs more each time than the rare second attempt
_DEVIATIONS = (3.0, 9.0)


@dataclass
class _Group:
    """Consecutive tensors of a stream whose scores are ranked together.

    Attributes:
        scores: the stream.
        tensors: the numbers of the tensors.
        alive: marks the elements that are left of them.
        total: how many these are.
        kept: where the elements that stay are marked.
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
    """Mark the highest scores of consecutive tensors; of equal ones the first.

    A sample brackets the threshold, so that only what lies in the bracket is ranked.

    Args:
        scores: of these tensors, and perhaps of others.
        tensors: the numbers of the tensors.
        alive: marks the elements that are left of them.
        total: how many these are.
        keep: how many of them to keep.
        kept: where they are marked.

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
    raise ValueError("scores: expected finite ones, got NaN")


def _bracket(group: _Group, keep: int, deviations: float) -> tuple[float, float]:
    """Two values between which the ``keep``-th highest score lies, by a sample and so many standard deviations."""
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
    reach = 4.0 * scores.error  # so that what is told apart by looking it up lies between
    return (
        float(sample.kthvalue(below).values) * (1.0 - reach) if below > 0 else -math.inf,
        float(sample.kthvalue(above).values) * (1.0 + reach) if above <= len(sample) else math.inf,
    )


def _between(group: _Group, low: float, high: float) -> tuple[Tensor, Tensor]:
    """The survivors' scores from ``low`` to ``high``, and where they are; those from ``low`` up are marked."""
    values, places, start = [], [], 0
    ones = torch.empty(2, 0)
    for part, unit in group.scores.parts(group.tensors):
        here = slice(start, start + len(part))
        kept = group.kept[here]
        if ones.shape[1] < len(part) or ones.dtype != part.dtype:
            ones = part.new_empty(2, len(part))
        above, below = ones[:, : len(part)]
        kept.copy_(torch.ge(part, low / unit, out=above))  # twice as fast as comparing into booleans
        if low <= 0:  # else what is pruned, and scored zero, is below it
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
    """Mark the ``count`` lowest of the scores from ``low`` to ``high``, which ``values`` may give with an error.

    Those that are too near to the threshold to be told apart are looked up at their ``places``. ``None`` if they may
    lie outside.
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
    """Mark the ``count`` lowest of a vector; of equal ones the last."""
    marks = torch.zeros_like(values, dtype=torch.bool)
    if count:
        threshold = values.kthvalue(count).values
        torch.lt(values, threshold, out=marks)
        ties = indices_of(values == threshold)
        marks[ties[len(ties) - (count - int(marks.count_nonzero())) :]] = True
    return marks


def indices_of(marks: Tensor) -> Tensor:
    """The flat indices of what is marked."""
    flat = marks.reshape(-1)
    if len(flat) % 8 or flat.storage_offset() % 8:
        return flat.nonzero().squeeze(1)
    groups = flat.view(torch.int64).nonzero()  # eight marks at a time, which is quicker where few are
    within = flat.view(-1, 8).index_select(0, groups.squeeze(1)).nonzero()
    return groups.squeeze(1).index_select(0, within[:, 0]).mul_(8).add_(within[:, 1])
