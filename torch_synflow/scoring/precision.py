"""Copies of tensors in the scoring precision."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy


def widened(tensor: Tensor, floor: torch.dtype) -> Tensor:
    """A detached copy of ``tensor``; floating-point tensors have type ``floor`` or wider."""
    return tensor.detach().to(wider(tensor, floor), copy=True)


def wider(tensor: Tensor, floor: torch.dtype) -> torch.dtype:
    """The wider of a tensor's type and ``floor``, for floating-point tensors."""
    return torch.promote_types(tensor.dtype, floor) if tensor.is_floating_point() else tensor.dtype


def materialised(tensor: Tensor, name: str) -> Tensor:
    """``tensor``, checked to have values."""
    if is_lazy(tensor):
        raise ValueError(f"{name}: a lazy parameter has no shape yet; run the model once on an input first")
    if tensor.is_meta:
        raise ValueError(f"{name}: a tensor on the meta device has no values; materialise the model first")
    return tensor
