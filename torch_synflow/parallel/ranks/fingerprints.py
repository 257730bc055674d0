"""Fingerprints of tensors, which depend only on their bits, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
#: elements at a time
_CHUNK = 1 << 20
#: odd, so that no bit of an element is lost
_FACTOR = -7046029254386353131


def fingerprint(tensor: Tensor) -> str:
    """A sum over the bits of a tensor's elements, each times a number of its place, modulo 2 ** 64.

    Example:
        >>> fingerprint(torch.tensor([1.0, 2.0])) == fingerprint(torch.tensor([2.0, 1.0]))
        False
    """
    flat = (torch.view_as_real(tensor) if tensor.is_complex() else tensor).detach().reshape(-1)
    integers = flat.view(_INTEGERS[flat.element_size()])
    total = torch.zeros((), dtype=torch.int64, device=tensor.device)
    places = torch.arange(1, min(_CHUNK, len(integers)) + 1, device=tensor.device).mul_(_FACTOR).bitwise_or_(1)
    for start, part in enumerate(integers.split(_CHUNK)):
        if len(part):
            wide = part.to(torch.int64)
            wide = wide ^ (wide >> 32)  # doubles that once were floats have no low bits
            total = total * _FACTOR + (places[: len(part)] * wide).sum() + start
    return f"{int(total) & (1 << 64) - 1:016x}"
