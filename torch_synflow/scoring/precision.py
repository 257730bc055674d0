"""Copies of tensors in the precision that is scored in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy


def widened(tensor: Tensor, floor: torch.dtype) -> Tensor:
    """A detached copy of ``tensor``, floating-point ones in ``floor`` or a wider type."""
    return tensor.detach().to(wider(tensor, floor), copy=True)


def wider(tensor: Tensor, floor: torch.dtype) -> torch.dtype:
    """The wider type of a tensor's and ``floor``, which is for floating-point ones."""
    return torch.promote_types(tensor.dtype, floor) if tensor.is_floating_point() else tensor.dtype


def materialised(tensor: Tensor, name: str) -> Tensor:
    """``tensor``, checked to have values."""
    if is_lazy(tensor):
        raise ValueError(f"{name}: a lazy parameter has no shape yet; run the model once on an input first")
    if tensor.is_meta:
        raise ValueError(f"{name}: a tensor on the meta device has no values; materialise the model first")
    return tensor
