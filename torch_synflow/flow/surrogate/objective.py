"""R, the scalar whose gradient is the flow: the sum of a model's outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torch_synflow._torch.pytree import tree_leaves


def sum_of_outputs(outputs: Any) -> Tensor:
    """R, the sum of all floating-point output tensors of a model."""
    tensors = [leaf for leaf in tree_leaves(outputs) if _is_floating(leaf)]
    if not tensors:
        raise TypeError(
            f"model: expected outputs that hold a floating-point tensor, got {type(outputs).__name__} without one"
        )
    if not any(tensor.numel() for tensor in tensors):
        raise ValueError(
            "model: expected outputs with elements, got none, for example from a detector that finds no boxes; say "
            "which "
            'submodules\' outputs count: outputs="head" for example'
        )
    return torch.stack([tensor.sum() for tensor in tensors]).sum()


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
