"""Boolean tensors packed into bytes, and the bits of weights."""

from __future__ import annotations

import torch
from torch import Tensor


def packed(mask: Tensor) -> Tensor:
    """The elements of a boolean tensor on the CPU, in row-major order, eight per byte, the first in the lowest bit.

    Example:
        >>> packed(torch.tensor([True, False, True, False, False, False, False, False, True]))
        tensor([5, 1], dtype=torch.uint8)
    """
    flat = mask.reshape(-1)
    bytes_ = torch.zeros(-(-flat.numel() // 8) * 8, dtype=torch.uint8, device=mask.device)
    bytes_[: flat.numel()] = flat
    places = torch.arange(8, dtype=torch.uint8, device=mask.device)
    return (bytes_.view(-1, 8) << places).sum(1, dtype=torch.uint8).cpu()


def unpacked(bits: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of :func:`packed`.

    Example:
        >>> unpacked(torch.tensor([5], dtype=torch.uint8), torch.Size([3]))
        tensor([ True, False,  True])
    """
    places = torch.arange(8, dtype=torch.uint8)
    return ((bits.unsqueeze(1) >> places) & 1).bool().view(-1)[: shape.numel()].view(shape)


def weight_bits(weights: Tensor, kept: Tensor) -> bytes:
    """The bits of the weights that a mask keeps, in row-major order."""
    chosen = weights.detach()[kept]
    found: bytes = chosen.view(torch.uint8).cpu().numpy().tobytes()
    return found
