"""The surrogates of sums and products, where two flows may meet and one of them be a gate."""

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


def add(call: Call) -> Any:
    """A sum. An offset is a bias, thus positive; one that blocks entries of attention sets them to zero."""
    first, second = call.two()
    if is_flow(first) and is_flow(second):
        return call.run()
    flow, offset = (first, second) if is_flow(first) else (second, first)
    if getattr(offset, "_synaptic_zero", False):  # and read as ones elsewhere, where it multiplies
        offset = 0.0
    if isinstance(offset, Tensor) and offset.is_floating_point() and bool((offset <= BLOCKED).any()):
        blocked = offset <= BLOCKED
        return torch.where(blocked, 0.0, flow + torch.where(blocked, 0.0, offset).abs())
    if not isinstance(offset, Tensor) and offset <= BLOCKED:
        offset = 0.0
    return call.run(flow, magnitude(offset)) if flow is first else call.run(magnitude(offset), flow)


def join(call: Call) -> Any:
    """Flows beside each other; a constant among them is a token, and carries none."""
    parts = call.get(0, "tensors")
    joined = [torch.zeros_like(part) if label_of(part) is None and part.is_floating_point() else part for part in parts]
    return call.func(joined, *call.args[1:], **{key: value for key, value in call.kwargs.items() if key != "tensors"})


def log_of_sum(call: Call) -> Any:
    """The sum, which is homogeneous, of what a logarithm of a sum of exponentials is over."""
    x, dim = relu(call.get(0, "input")), call.get(1, "dim")
    return x.cumsum(dim) if call.func.__name__ == "logcumsumexp" else x.sum(dim, keepdim=call.get(2, "keepdim", False))


def centred_weights(call: Call) -> Any:
    """Weights without the mean that centring subtracts: as they are."""
    first, second = call.two()
    label = label_of(second)
    if label_of(first) is not None and label is not None and label.mean:
        return first.clone()
    return call.run()


def weights_over(call: Call) -> Any:
    """Weights over a size that is computed of weights, and is a constant."""
    first, second = call.two()
    if call.func.__name__ in REVERSED or label_of(first) is None or label_of(second) is None:
        return call.run()
    return call.run(first, second.detach().abs())


def grouped_matmul(call: Call) -> Tensor:
    """For each group of rows, which end where ``offs`` says, the product with its own matrix."""
    rows, matrices, ends = call.get(0, "mat_a"), call.get(1, "mat_b"), call.get(2, "offs")
    if ends is None:
        return rows @ matrices  # type: ignore[no-any-return]
    stops = ends.tolist()
    parts = [rows[a:b] @ matrices[group] for group, (a, b) in enumerate(zip([0, *stops], stops, strict=False))]
    return torch.cat([*parts, rows.new_zeros(len(rows) - stops[-1], matrices.shape[-1])])


def subtract(call: Call) -> Tensor:
    """Without the mean that centring subtracts; otherwise a sum, the -1 being a weight made positive."""
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
    """A choice between a flow and another tensor, whose values that block are zero."""
    if len(call.args) < 3:
        return call.run()
    condition, *branches = call.args
    read = [branch if is_flow(branch) or not _floating(branch) else _unblocked(branch) for branch in branches]
    return torch.where(condition, *read)


def masked_fill(call: Call) -> Any:
    """A fill, with zero where the value would block."""
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
    """Of two flows: the main one times the gate over its own detached value, so of degree one in either.

    A sigmoid that no flow arrives at is half open, thus read as open; any other gate is then shut.
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
    """By a flow: by its detached value, as normalisation does; where there is none, by one."""
    first, second = call.two()
    if call.func.__name__ in REVERSED:
        return magnitude(second) * reciprocal(call)
    if not is_flow(second):
        return call.run(first, magnitude(second))
    call.gates.append(second)
    by = second.detach()
    return call.func(magnitude(first), torch.where(by == 0, 1.0, by.abs()))


def reciprocal(call: Call) -> Tensor:
    """One over a flow, detached: what a normalisation multiplies by."""
    x = call.get(0, "input")
    call.gates.append(x)
    return filled(torch.ones_like(x), 1.0, x)


def power(call: Call) -> Tensor:
    """Of degree one: the identity, or the reciprocal where the exponent is negative."""
    exponent = call.get(1, "exponent")
    if isinstance(exponent, (int, float)) and exponent < 0:
        return reciprocal(call)
    return relu(call.get(0, "input"))


def matmul(call: Call) -> Any:
    """A linear map, or of two flows the values weighted by rows of attention."""
    first, second = call.get(0, "input"), call.get(1, "mat2" if "mm" in call.func.__name__ else "other")
    if not (is_flow(first) and is_flow(second)):
        return call.func(plain(first), plain(second))
    a, b = label_of(first), label_of(second)
    gate = second if a is not None and b is not None and b.gate > a.gate else first
    call.gates.append(gate)
    return call.func(first, second)


def einsum(call: Call) -> Any:
    """As :func:`matmul`; of several flows the most gate-like, or else all but the last, are gates."""
    flows = [operand for operand in _operands(call.args[1:]) if is_flow(operand)]
    main = max(reversed(flows), key=lambda operand: -getattr(label_of(operand), "gate", 0), default=None)
    call.gates += [operand for operand in flows if operand is not main]
    return call.func(call.args[0], *[plain(operand) for operand in _operands(call.args[1:])])


def _operands(args: tuple[Any, ...]) -> list[Any]:
    return list(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else list(args)


def glu(call: Call) -> Tensor:
    """One half times the sigmoid of the other."""
    main, gate = call.get(0, "input").chunk(2, call.get(1, "dim", -1))
    return main * gate.sigmoid()  # type: ignore[no-any-return]
