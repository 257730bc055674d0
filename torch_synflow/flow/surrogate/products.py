"""The surrogates of products, in which two flows can meet and one of them can be a gate, and of choices."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
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
    return F.pad(torch.cat(parts), (0, 0, 0, len(rows) - stops[-1]))


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
    """The main flow and the gate, of two flows that are multiplied."""
    a, b = label_of(first), label_of(second)
    assert a is not None
    assert b is not None
    if a.gate != b.gate:
        return (first, second) if b.gate > a.gate else (second, first)
    if first.numel() != second.numel():
        return (first, second) if second.numel() < first.numel() else (second, first)
    before = call.trace.gated_before(a.node), call.trace.gated_before(b.node)
    if before[0] != before[1]:  # as the queries of CoaT, which weight the values twice
        return (second, first) if before[0] else (first, second)
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
    """A division by the detached value of a flow, as in normalisation; by one without a flow."""
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
