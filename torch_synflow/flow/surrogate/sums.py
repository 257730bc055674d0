"""The surrogates of sums: of flows, with offsets, which are biases, positions or masks, and joined to tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torch_synflow.flow.surrogate.call import BLOCKED, Call, in_place, is_flow, label_of, magnitude, relu

#: a token relative to the greatest element of the flow that it is joined to: less than its rounding error
_TOKEN = 2.0**-50


def add(call: Call) -> Any:
    """A sum. An offset is a bias and therefore positive; an offset that blocks elements sets them to zero."""
    first, second = call.two()
    if is_flow(first) and is_flow(second):
        return call.run()
    flow, offset = (first, second) if is_flow(first) else (second, first)
    offset = bias_of(call, flow, offset)
    if isinstance(offset, Tensor) and offset.is_floating_point():
        blocked = blocked_by(offset)
        if blocked is not None:
            result = torch.where(blocked, 0.0, flow + torch.where(blocked, 0.0, offset).abs())
            return first.copy_(result) if in_place(call.func) else result
    if not isinstance(offset, Tensor) and offset <= BLOCKED:
        offset = 0.0
    return call.run(flow, magnitude(offset)) if flow is first else call.run(magnitude(offset), flow)


def blocked_by(offset: Tensor) -> Tensor | None:
    """Where an offset blocks elements, if it does or may: one that is computed from weights changes with them."""
    known: Tensor | None = getattr(offset, "_synaptic_blocked", None)
    if known is not None:  # found before the offset got another exponent
        return known
    blocked = offset <= BLOCKED
    return blocked if label_of(offset) is not None or bool(blocked.any()) else None


def subtracted_mask(offset: Tensor) -> Tensor | None:
    """Where a constant that is subtracted blocks elements; one that is great everywhere is the mean of an input."""
    known: Tensor | None = getattr(offset, "_synaptic_blocked", None)
    if known is not None or label_of(offset) is not None:
        return known
    blocked = offset >= -BLOCKED
    return blocked if bool(blocked.any()) and not bool(blocked.all()) else None


def bias_of(call: Call, flow: Tensor, offset: Any) -> Any:
    """The part of an offset that starts flow: a bias, but not a position or a token, which stand for the input.

    Positions differ along more dimensions than one. So do the biases of several matrices, which are added to their
    products. A token is joined to a flow elsewhere in the pass. What blocks elements of attention stays.
    """
    if label_of(offset) is not None or not isinstance(offset, Tensor) or not offset.is_floating_point():
        return offset
    if getattr(offset, "_synaptic_bias", False):  # found to be one before
        return offset
    read_as_ones = getattr(offset, "_synaptic_zero", False)  # elsewhere, where it multiplies
    if not (read_as_ones or call.trace.is_given(offset)):
        differs = sum(size > 1 and stride != 0 for size, stride in zip(offset.shape, offset.stride(), strict=True))
        label = label_of(flow)
        assert label is not None
        if differs < 2 or call.trace.is_product_by_weights(label.node):
            return offset
    call.trace.note_given(offset)
    if bool((offset <= BLOCKED).any()):
        return torch.where(offset <= BLOCKED, offset, 0.0)
    changes_nothing = flow is call.get(0, "input") and torch.broadcast_shapes(flow.shape, offset.shape) == flow.shape
    return 0.0 if changes_nothing else torch.zeros_like(offset)


def join(call: Call) -> Any:
    """A concatenation of flows; a constant among them is a token and starts a negligibly small flow.

    Where a layer reads a token alone, such as the queries of class attention, nothing else arrives there. A softmax,
    which divides by its sum, restores the size.
    """
    parts = list(call.get(0, "tensors"))
    tokens = [k for k, part in enumerate(parts) if label_of(part) is None and part.is_floating_point() and part.numel()]
    if tokens:
        flows = [part.detach().amax() for part in parts if is_flow(part) and part.numel()]
        least = torch.stack(flows).amax() * _TOKEN if flows else 0.0
        for k in tokens:
            call.trace.note_given(parts[k])
            parts[k] = (parts[k] != 0) * least
    return call.func(parts, *call.args[1:], **{key: value for key, value in call.kwargs.items() if key != "tensors"})


def log_of_sum(call: Call) -> Any:
    """The sum in place of the logarithm of a sum of exponentials."""
    x, dim = relu(call.get(0, "input")), call.get(1, "dim")
    return x.cumsum(dim) if call.func.__name__ == "logcumsumexp" else x.sum(dim, keepdim=call.get(2, "keepdim", False))


def subtract(call: Call) -> Tensor:
    """The first operand if the second is its mean; otherwise a sum, because the weight -1 becomes positive.

    A mask that is subtracted blocks elements, as its negative does in a sum.
    """
    first, second = call.two()
    if "rsub" in call.func.__name__:
        first, second = second, first
    alpha = call.kwargs.get("alpha", 1)
    if is_flow(first) and is_flow(second):
        label = label_of(second)
        if label is not None and label.mean:
            call.gates.append(second)
            return first.clone()  # type: ignore[no-any-return]
    elif is_flow(first) and isinstance(second, Tensor) and second.is_floating_point():
        blocked = subtracted_mask(second)
        if blocked is not None:
            return torch.where(blocked, 0.0, first + abs(alpha) * torch.where(blocked, 0.0, second).abs())
    total: Tensor = magnitude(first) + abs(alpha) * magnitude(second)
    return total


def centred_weights(call: Call) -> Any:
    """The weights unchanged, without subtracting the mean."""
    first, second = call.two()
    label = label_of(second)
    if label_of(first) is not None and label is not None and label.mean:
        return first.clone()
    return call.run()
