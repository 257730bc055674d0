"""Scores into and out of hidden units."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor


def sums_at_units(scored: list[Tensor]) -> list[list[float]]:
    """The sums of scores into and out of up to 600 hidden units between convolutions."""
    into, out = [], []
    for before, after in pairwise(scored):
        if before.dim() == after.dim() == 4 and after.shape[1] == before.shape[0]:
            into.append(before.sum((1, 2, 3)))
            out.append(after.sum((0, 2, 3)))
    chosen = torch.linspace(0, sum(map(len, into)) - 1, 600).long() if into else torch.zeros(0, dtype=torch.long)
    return [[float(f"{v:.5g}") for v in torch.cat(sums)[chosen].tolist()] if into else [] for sums in (into, out)]
