"""Layers on the channels that have weights left, and the gradients of these weights from the flows in and out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import grad

from torch_synflow.flow.engine.tape import Slot, Step, arguments
from torch_synflow.selection.histogram import waits
from torch_synflow.selection.survivors import Channels

_DIMENSIONS = {F.linear: 0, torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}
_WEIGHT_GRADIENT = {1: grad.conv1d_weight, 2: grad.conv2d_weight, 3: grad.conv3d_weight}
_NAMES = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
#: a convolution with at most this many positions is quicker as a product of matrices, with one row per position
_FEW_POSITIONS = 128
#: the number of elements of a weight that are read at a time, so that results stay in the processor's cache
PART = 1 << 19
#: the same on devices with many more cores
_PART_ELSEWHERE = 1 << 24


class RecordedLayer:
    """One use of a scored weight by a linear layer or a convolution.

    The gradient of R at the output and the input together give the gradient at the weight. Autograd therefore does not
    have to hold the gradients of all layers at once.

    Args:
        step: the recorded operation.
        shapes: the shapes of the tensors in the slots.

    Attributes:
        weight: the slot of the weight.
        in_rows: whether the gradient at the weight is the product of the transposed gradient at the output and the
            input, each with a row for each position of the output.
    """

    def __init__(self, step: Step, shapes: Mapping[int, torch.Size]) -> None:
        given = arguments(step, _NAMES)
        self.weight: int = given["weight"].index
        self._dimensions = _DIMENSIONS[step.func]
        self._func = step.func
        self._whole = shapes[self.weight]
        (out,) = step.outs
        assert out is not None
        self._output = shapes[out]
        if self._dimensions:
            spread = [given.get(name, default) for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))]
            self._geometry: tuple[Any, ...] = tuple(_each(value, self._dimensions) for value in spread)
        channels = 1 if self._dimensions else len(self._output) - 1
        self._positions = math.prod(size for dim, size in enumerate(self._output) if dim != channels)
        self.in_rows = not self._dimensions or (self._dimensions == 2 and self._positions <= _FEW_POSITIONS)

    @staticmethod
    def of(step: Step, shapes: Mapping[int, torch.Size]) -> RecordedLayer | None:
        """The layer of a step, if it is one that this module computes."""
        given = arguments(step, _NAMES)
        dimensions = _DIMENSIONS.get(step.func)
        if dimensions is None or not isinstance(given.get("weight"), Slot):
            return None
        x = given["input"]
        if dimensions and (
            given.get("groups", 1) != 1
            or isinstance(given.get("padding", 0), str)
            or len(shapes[x.index] if isinstance(x, Slot) else x.shape) != dimensions + 2
        ):
            return None
        return RecordedLayer(step, shapes)

    def run(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, channels: Channels | None
    ) -> tuple[Tensor, Tensor, GradientEdge]:
        """The output, the input for :meth:`gradient`, and the tensor at which to take the gradient of the output.

        The weight may have a narrower type.
        """
        dim = 1 if self._dimensions else -1
        if channels is not None:
            x = x.index_select(dim, channels[1])
        if self.in_rows:
            seen = self._rows(x)
            out = _product(seen, weight.flatten(1))
        else:
            stride, padding, dilation = self._geometry
            seen, out = x, self._func(x, weight.to(x.dtype), None, stride, padding, dilation)
        if out.requires_grad:
            edge = get_gradient_edge(out)
        else:  # a first layer
            edge = get_gradient_edge(out.requires_grad_())
            out = out.clone()  # later operations may write to it
        if self.in_rows and self._dimensions:
            # contiguous, because torch's batch norm has a wrong gradient if only its input is channels-last
            out = out.view(self._output[0], -1, len(weight)).transpose(1, 2).contiguous()
            out = out.view(self._output[0], len(weight), *self._output[2:])
        elif self.in_rows:
            out = out.view(*self._output[:-1], len(weight))
        if channels is not None:
            out = out.new_zeros(self._output).index_copy(dim if dim == 1 else out.dim() - 1, channels[0], out)
        return out if bias is None else out + bias.view(-1, *[1] * self._dimensions), seen.detach(), edge

    def used(self, at_output: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient and input at the positions that the result depends on, which are often few below a maximum."""
        rows = _not_zero(at_output) if self.in_rows else None
        return (at_output, seen) if rows is None else (at_output.index_select(0, rows), seen.index_select(0, rows))

    def gradient(self, seen: Tensor, at_output: Tensor, weight: Tensor) -> Tensor:
        """The gradient at a block of the weight."""
        if self.in_rows:
            return (at_output.T @ seen).view_as(weight)
        of_weight: Any = _WEIGHT_GRADIENT[self._dimensions]
        gradient: Tensor = of_weight(seen, list(weight.shape), at_output, *self._geometry)
        return gradient

    def _rows(self, x: Tensor) -> Tensor:
        """One row per position of the output, with the inputs that the weight multiplies there."""
        if not self._dimensions:
            return x.reshape(self._positions, x.shape[-1])
        stride, padding, dilation = self._geometry
        if self._whole[2:].numel() == 1 and stride == (1, 1) and padding == (0, 0):
            windows = x.flatten(2)
        else:
            windows = F.unfold(x, self._whole[2:], dilation, padding, stride)
        # contiguous: for products with a few rows the layout decides the speed
        return windows.transpose(1, 2).reshape(self._positions, -1).contiguous()


def parts_of(rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Blocks of rows of a matrix, at least one, each with the number of its first row."""
    size = PART if rows.is_cpu else _PART_ELSEWHERE
    step = max(1, size // max(1, rows.shape[1]))
    for start in range(0, max(1, len(rows)), step):
        yield start, rows[start : start + step]


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T`` in the type of ``x``."""
    if weight.dtype == x.dtype or weight.numel() <= PART:
        return F.linear(x, weight.to(x.dtype))
    product: Tensor = _Widened.apply(x, weight)
    return product


class _Widened(torch.autograd.Function):
    """The product with a weight of a narrower type, which is widened one part at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        out = x.new_empty(len(x), len(weight))
        for start, part in _wide_parts(weight, x.dtype):
            out[:, start : start + len(part)] = x @ part.T
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        rows = _not_zero(gradient)
        some = gradient if rows is None else gradient.index_select(0, rows)
        total = some.new_zeros(len(some), weight.shape[1])
        for start, part in _wide_parts(weight, some.dtype):
            total.addmm_(some[:, start : start + len(part)], part)
        if rows is not None:
            total = total.new_zeros(len(gradient), weight.shape[1]).index_copy_(0, rows, total)
        return total, None


def _not_zero(gradient: Tensor) -> Tensor | None:
    """The rows that are not all zero, if these are few; all rows if asking would wait for a device."""
    if waits(gradient) or len(gradient) < 2:
        return None
    rows = gradient.any(1).nonzero().squeeze(1)
    return rows if 0 < len(rows) <= len(gradient) // 2 else None


def _wide_parts(weight: Tensor, dtype: torch.dtype) -> Iterator[tuple[int, Tensor]]:
    buffer = None
    for start, part in parts_of(weight):
        buffer = torch.empty_like(part, dtype=dtype) if buffer is None else buffer
        yield start, buffer[: len(part)].copy_(part)


def _each(value: Any, dimensions: int) -> tuple[int, ...]:
    values = (value,) * dimensions if isinstance(value, int) else tuple(value)
    return values * dimensions if len(values) == 1 else values
