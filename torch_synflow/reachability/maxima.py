"""Maxima as sums, because a maximum may choose any of its elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_synflow._torch.pytree import tree_leaves
from torch_synflow.flow.surrogate.call import Call


def maximum_as_sum(name: str, call: Call) -> Any:
    """A maximum over windows or a dimension as a sum; ``None`` for other operations."""
    if name.startswith("adaptive_max_pool"):
        size = int(name[len("adaptive_max_pool")])
        average: Callable[..., Tensor] = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[size - 1]
        return _with_values(call.run(), average(call.get(0, "input"), call.get(1, "output_size")))
    if name.startswith("max_pool"):
        result = call.run()
        return _with_values(result, _window_sums(int(name[len("max_pool")]), call, tree_leaves(result)[0].shape))
    if name == "max" and isinstance(call.get(1, "dim"), int):
        values = call.get(0, "input").amax(call.get(1, "dim"), keepdim=bool(call.get(2, "keepdim", False)))
        return torch.return_types.max((values, call.run().indices))
    return None


def _with_values(result: Any, values: Tensor) -> Any:
    return values if isinstance(result, Tensor) else (values, *tuple(result)[1:])


def _window_sums(dims: int, call: Call, shape: torch.Size) -> Tensor:
    """Sums over the windows of a max pooling, as a convolution by ones."""
    x = call.get(0, "input")

    def each(value: Any) -> tuple[int, ...]:
        values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        return values * dims if len(values) == 1 else values

    kernel = each(call.get(1, "kernel_size"))
    stride = call.get(2, "stride")
    stride = kernel if stride is None or stride == () or stride == [] else each(stride)
    padding, dilation = each(call.get(3, "padding", 0)), each(call.get(4, "dilation", 1))
    pads: list[int] = []
    for d in reversed(range(dims)):
        reach = (shape[d - dims] - 1) * stride[d] + dilation[d] * (kernel[d] - 1) + 1
        pads += [padding[d], reach - x.shape[d - dims] - padding[d]]  # a negative one crops what no window covers
    padded = F.pad(x.reshape(-1, 1, *x.shape[-dims:]), pads)
    convolve: Callable[..., Tensor] = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
    return convolve(padded, x.new_ones(1, 1, *kernel), stride=stride, dilation=dilation).reshape(shape)
