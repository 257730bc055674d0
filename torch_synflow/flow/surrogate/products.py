"""The surrogates of sums and products, in which two flows can meet and one of them can be a gate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torch_synflow.flow.surrogate.call import (
    BLOCKED,
    REVERSED,
    Call,
    filled,
    in_place,
    is_flow,
    label_of,
    magnitude,
    plain,
    relu,
)

#: a token relative to the greatest element of the flow that it is joined to: less than its rounding error
_TOKEN = 2.0**-50


def add(call: Call) -> Any:
    """A sum. An offset is a bias and therefore positive; an offset that blocks elements sets them to zero."""
    first, second = call.two()
    if is_flow(first) and is_flow(second):
        return call.run()
    flow, offset = (first, second) if is_flow(first) else (second, first)
    offset = bias_of(call, flow, offset)
    if isinstance(offset, Tensor) and offset.is_floating_point() and bool((offset <= BLOCKED).any()):
        blocked = offset <= BLOCKED
        return torch.where(blocked, 0.0, flow + torch.where(blocked, 0.0, offset).abs())
    if not isinstance(offset, Tensor) and offset <= BLOCKED:
        offset = 0.0
    return call.run(flow, magnitude(offset)) if flow is first else call.run(magnitude(offset), flow)


def bias_of(call: Call, flow: Tensor, offset: Any) -> Any:
    """What of an offset starts flow: a bias, and not a position or a token, which stand for the input.

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


def centred_weights(call: Call) -> Any:
    """The weights unchanged, without subtracting the mean."""
    first, second = call.two()
    label = label_of(second)
    if label_of(first) is not None and label is not None and label.mean:
        return first.clone()
    return call.run()


def weights_over(call: Call) -> Any:
    """Weights divided by a constant size that is computed from weights."""
    first, second = call.two()
    if call.func.__name__ in REVERSED or label_of(first) is None or label_of(second) is None:
        return call.run()
    return call.run(first, second.detach().abs())


def grouped_matmul(call: Call) -> Tensor:
    """The product of each group of rows, whose ends are ``offs``, with its own matrix."""
    rows, matrices, ends = call.get(0, "mat_a"), call.get(1, "mat_b"), call.get(2, "offs")
    if ends is None:
        return rows @ matrices  # type: ignore[no-any-return]
    stops = ends.tolist()
    parts = [rows[a:b] @ matrices[group] for group, (a, b) in enumerate(zip([0, *stops], stops, strict=False))]
    return torch.cat([*parts, rows.new_zeros(len(rows) - stops[-1], matrices.shape[-1])])


def subtract(call: Call) -> Tensor:
    """The first operand if the second is its mean; otherwise a sum, because the weight -1 becomes positive."""
    first, second = call.two()
    if "rsub" in call.func.__name__:
        first, second = second, first
    alpha = call.kwargs.get("alpha", 1)
    if is_flow(first) and is_flow(second):
        label = label_of(second)
        if label is not None and label.mean:
            call.gates.append(second)
            return first.clone()  # type: ignore[no-any-return]
    total: Tensor = magnitude(first) + abs(alpha) * magnitude(second)
    return total


def where(call: Call) -> Any:
    """A choice between a flow and another tensor, with zero for blocking values."""
    if len(call.args) < 3:
        return call.run()
    condition, *branches = call.args
    read = [branch if is_flow(branch) or not _floating(branch) else _unblocked(branch) for branch in branches]
    return torch.where(condition, *read)


def masked_fill(call: Call) -> Any:
    """A fill, with zero for a blocking value."""
    mask, value = call.get(1, "mask"), call.get(2, "value")
    return call.func(call.get(0, "input"), mask, _unblocked(value) if _floating(value) else value)


def _floating(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, Tensor) and value.is_floating_point())


def _unblocked(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.where(value <= BLOCKED, 0.0, value).abs()
    return 0.0 if value <= BLOCKED else abs(value)


def _which_gates(call: Call, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Of two flows that are multiplied: the main one, and the one that is read as its gate."""
    a, b = label_of(first), label_of(second)
    assert a is not None
    assert b is not None
    if a.gate != b.gate:
        return (first, second) if b.gate > a.gate else (second, first)
    if first.numel() != second.numel():
        return (first, second) if second.numel() < first.numel() else (second, first)
    if a.node != b.node and call.trace.descends(a.node, b.node):
        return second, first
    return first, second


def multiply(call: Call) -> Any:
    """The main flow times the gate divided by its own detached value, so the degree is one in both.

    A sigmoid without flow is half open and counts as open; any other gate without flow is shut.
    """
    first, second = call.two()
    if not (is_flow(first) and is_flow(second)):
        return call.run(plain(first), plain(second))
    main, gate = _which_gates(call, first, second)
    call.gates.append(gate)
    label = label_of(gate)
    opened = filled(gate.clone() if gate is first else gate, float(label is not None and label.gate == 2))
    if in_place(call.func):
        return call.func(main, opened) if main is first else first.copy_(main * opened)
    return main * opened


def divide(call: Call) -> Any:
    """A division by the detached value of a flow, as in normalisation; by one where there is no flow."""
    first, second = call.two()
    if call.func.__name__ in REVERSED:
        return magnitude(second) * reciprocal(call)
    if not is_flow(second):
        return call.run(first, magnitude(second))
    call.gates.append(second)
    by = second.detach()
    return call.func(magnitude(first), torch.where(by == 0, 1.0, by.abs()))


def reciprocal(call: Call) -> Tensor:
    """One over a detached flow, the factor of a normalisation."""
    x = call.get(0, "input")
    call.gates.append(x)
    return filled(torch.ones_like(x), 1.0, x)


def power(call: Call) -> Tensor:
    """The identity, of degree one, or the reciprocal for a negative exponent."""
    exponent = call.get(1, "exponent")
    if isinstance(exponent, (int, float)) and exponent < 0:
        return reciprocal(call)
    return relu(call.get(0, "input"))


def matmul(call: Call) -> Any:
    """A linear map; for two flows, the second weighted by rows of the first, each divided by its detached sum.

    Where the second is more of a gate, its columns weight the first.
    """
    first, second = call.get(0, "input"), call.get(1, "mat2" if "mm" in call.func.__name__ else "other")
    if not (is_flow(first) and is_flow(second)):
        return call.func(plain(first), plain(second))
    a, b = label_of(first), label_of(second)
    assert a is not None
    assert b is not None
    gate, dim = (second, -min(2, second.dim())) if b.gate > a.gate else (first, -1)
    call.gates.append(gate)
    if max(a.gate, b.gate) < 2:  # else a softmax, which adds up to one
        over = filled(gate, 0.0, gate.sum(dim, keepdim=True).expand_as(gate))
        first, second = (over, second) if gate is first else (first, over)
    return call.func(first, second)


def einsum(call: Call) -> Any:
    """As :func:`matmul`; among several flows, the most likely gates, or else all but the last, are gates."""
    flows = [operand for operand in _operands(call.args[1:]) if is_flow(operand)]
    main = max(reversed(flows), key=lambda operand: -getattr(label_of(operand), "gate", 0), default=None)
    call.gates += [operand for operand in flows if operand is not main]
    return call.func(call.args[0], *[plain(operand) for operand in _operands(call.args[1:])])


def _operands(args: tuple[Any, ...]) -> list[Any]:
    return list(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else list(args)


def glu(call: Call) -> Tensor:
    """One half times the sigmoid of the other half."""
    main, gate = call.get(0, "input").chunk(2, call.get(1, "dim", -1))
    return main * gate.sigmoid()  # type: ignore[no-any-return]
