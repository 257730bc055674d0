"""The highest of very many scores, found without a transfer from the device to the host.

Finding a threshold by sampling and counting makes the host wait for each count. Here the threshold comes from
histograms of sixteen bits of the scores at a time, and stays on the device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from torch_synflow.selection.stream import ScoreStream

#: devices on which reading a number waits for all queued work
_ASYNCHRONOUS = frozenset(("cuda",))
#: the number of bits of a key that are counted at a time
_BITS = 16
#: the largest number of parallel counts, and the least number of keys of each; additions to one number are serial
_LANES, _OF_LANE = 64, 1 << 12
#: the number of keys that are processed at a time, because temporaries are several times their size
_CHUNK = 1 << 24
#: below every score
LEAST = -(1 << 63)


def waits(tensor: Tensor) -> bool:
    """Whether the host waits when it reads a number of a tensor."""
    return tensor.device.type in _ASYNCHRONOUS


def highest_of_scores(scores: ScoreStream, tensors: range, alive: Tensor, count: int) -> Tensor:
    """Mark the ``count`` highest scores of consecutive tensors among those that ``alive`` marks."""
    scores.exactly()
    keys = torch.empty(len(alive), dtype=torch.int64, device=alive.device)
    start = 0
    for part, _ in scores.parts(tensors):
        keys[start : start + len(part)] = keys_of(part)
        start += len(part)
    return highest_of(keys.masked_fill_(~alive, LEAST), count)


def keys_of(scores: Tensor) -> Tensor:
    """Integers in the order of finite scores; both zeros map to the same integer."""
    bits = scores.double().add(0.0).view(torch.int64)
    return bits ^ ((bits >> 63) & ~LEAST)


def highest_of(keys: Tensor, count: int) -> Tensor:
    """Mark the ``count`` highest of a vector of integers; ties go to the first."""
    marks = torch.zeros_like(keys, dtype=torch.bool)
    if not count:
        return marks
    threshold, rank = _threshold(keys, count)
    for chunk, mark in zip(keys.split(_CHUNK), marks.split(_CHUNK), strict=True):
        ties = chunk == threshold
        places = ties.cumsum(0)
        torch.logical_or(chunk > threshold, ties.logical_and_(places <= rank), out=mark)
        rank = rank - places[-1]
    return marks


def _threshold(keys: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count``-th highest, and its number, from one, among equal integers."""
    prefix, rank = keys.new_zeros(()), keys.new_full((), count)
    bins, one = 1 << _BITS, keys.new_ones(1)
    lanes = max(1, min(_LANES, len(keys) // _OF_LANE))
    for shift in range(64 - _BITS, -1, -_BITS):
        counts = keys.new_zeros(lanes, bins + 1)  # the last one for keys that differ in a higher bit
        for chunk in keys.split(_CHUNK):
            digits = chunk >> shift
            if shift == 64 - _BITS:
                digits += bins // 2
            else:
                digits = torch.where(digits >> _BITS == prefix, digits & (bins - 1), bins)
            lane = torch.arange(len(chunk), device=keys.device) % lanes
            counts.view(-1).index_add_(0, digits.add_(lane * (bins + 1)), one.expand(len(chunk)))
        of_digits = counts.sum(0)[:bins].flip(0)
        above = torch.cat([keys.new_zeros(1), of_digits.cumsum(0)])  # from the highest digit on
        skipped = (above[1:] < rank).sum()
        rank = rank - above.index_select(0, skipped.view(1)).squeeze()
        digit = bins - 1 - skipped
        prefix = digit - bins // 2 if shift == 64 - _BITS else (prefix << _BITS) | digit
    return prefix, rank
