"""Zeros without a mask, as after ``remove``, which must not count as kept.

A tensor that is all zero does not count, because layers can start at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from torch_synflow._warnings import listed, warn_user
from torch_synflow.model.layout import is_sharded, sum_of
from torch_synflow.model.parameters import Entry

#: the fraction of a tensor that must be zero for a warning
_MANY = 0.01


def zeros_as_pruned(entries: Sequence[Entry]) -> list[Entry]:
    """The same entries, with zeros counted as pruned in tensors without a mask."""
    zeros = _zeros(entries)
    return [
        replace(entry, mask=entry.parameter.detach() != 0, zeros=zeros[k]) if k in zeros else entry
        for k, entry in enumerate(entries)
    ]


def warn_of_zeros(entries: Sequence[Entry]) -> None:
    """Name the tensors whose zeros are about to count as kept, because they have no mask."""
    many = {k: count for k, count in _zeros(entries).items() if count >= _MANY * entries[k].total}
    if many:
        names = [f"{entries[k].label} ({count:,} of {entries[k].total:,})" for k, count in many.items()]
        warn_user(
            f"zeros without a mask, as after prune.remove, count as not pruned yet: {listed(names)}; to prune the "
            f"remaining weights, add masks first: prune.apply_masks(model, {{name: weight != 0, ...}})"
        )


def _zeros(entries: Sequence[Entry]) -> dict[int, int]:
    """The number of zeros, by place in the list, of tensors with some zeros and no mask."""
    bare = [
        k
        for k, entry in enumerate(entries)
        if entry.total and not any(f"{name}_mask" in module._buffers for module, name in entry.locations)
    ]
    sharded = [k for k in bare if is_sharded(entries[k].parameter)]
    if sharded:
        kept = [sum_of(entries[k].parameter.detach() != 0) for k in bare]
        return {k: entries[k].total - n for k, n in zip(bare, kept, strict=True) if 0 < n < entries[k].total}
    counts: list[Tensor] = [torch.count_nonzero(entries[k].parameter.detach()) for k in bare]
    if not counts:
        return {}
    kept = torch.stack([count.to(counts[0].device) for count in counts]).tolist()  # waits for the device once
    return {k: entries[k].total - n for k, n in zip(bare, kept, strict=True) if 0 < n < entries[k].total}
