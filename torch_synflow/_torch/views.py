"""Views of tensors, whose base has no public name."""

from __future__ import annotations

from torch import Tensor


def base_of(tensor: Tensor) -> Tensor:
    """The tensor that a tensor is a view of, or the tensor itself."""
    base = tensor._base
    return tensor if base is None else base
