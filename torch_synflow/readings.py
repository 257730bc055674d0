"""The readings: what each operation is while the flow is measured, by the operation's name.

A network of positive weights and positively homogeneous operations conserves flow. Operations that are so
already run as they are; each function here is the counterpart of those that are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_synflow.trace import Label, Trace

#: An offset at or below this is a mask of attention, not a bias: what it is added to is blocked.
BLOCKED = -10.0


def label_of(value: Any) -> Label | None:
    """The label of a tensor that the mode has seen."""
    return getattr(value, "_synaptic_label", None) if isinstance(value, Tensor) else None


def is_flow(value: Any) -> bool:
    """Whether ``value`` is a tensor on the way from the network's input."""
    label = label_of(value)
    return label is not None and label.flow


def in_place(func: Any) -> bool:
    """Whether an operation writes to its first argument."""
    name = str(getattr(func, "__name__", ""))
    return (name.endswith("_") and not name.endswith("__")) or (name.startswith("__i") and name != "__iter__")


@dataclass
class Call:
    """One operation of the forward pass.

    Attributes:
        func: the operation, to be called as it is.
        args: its positional arguments.
        kwargs: its keyword arguments.
        trace: what the pass did until now.
        gates: to be filled by a reading: the tensor arguments that only scale the others.
        gate_slots: where these are among the arguments with a label.
        exponent: of the result, where values travel with exponents.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    trace: Trace
    gates: list[Tensor] = field(default_factory=list)
    gate_slots: frozenset[int] = frozenset()
    exponent: Tensor | None = None

    def run(self, *args: Any) -> Any:
        """The operation itself, on other leading arguments."""
        return self.func(*args, *self.args[len(args) :], **self.kwargs)

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """An argument that may be positional or not."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def two(self, second: str = "other") -> tuple[Any, Any]:
        """The two operands."""
        return self.get(0, "input"), self.get(1, second)


def _magnitude(value: Any) -> Any:
    """A factor or an offset that is no flow, made positive as weights are."""
    if isinstance(value, Tensor):
        return value.abs() if value.is_floating_point() else value
    return abs(value) if isinstance(value, (int, float)) else value


def _filled(value: Tensor, zero: Tensor | float, divisor: Tensor | None = None) -> Tensor:
    """``value`` over its own detached value (or ``divisor``), and ``zero`` where that is zero."""
    by = (value if divisor is None else divisor).detach()
    dead = by == 0
    return torch.where(dead, zero, value / torch.where(dead, 1.0, by))


# --- activations and normalisation --------------------------------------------------------------------------


def activation(call: Call) -> Tensor:
    """ReLU, which is the identity on a positive flow."""
    return _relu(call.get(0, "input"))


def _relu(x: Tensor) -> Tensor:
    return x.clamp(min=0)  # keeps no output for its gradient, so that what follows may be in place


def identity(call: Call) -> Any:
    """The input: dropout, and casts that lose the gradient."""
    return call.get(0, "input")


def softmax(call: Call) -> Tensor:
    """Each row over its own detached sum; a row without flow is uniform."""
    x = _relu(call.get(0, "input"))
    dim = call.get(1, "dim", -1)
    dim = -1 if dim is None else dim
    return _filled(x, 1.0 / x.shape[dim], x.sum(dim, keepdim=True).expand_as(x))


def _over_rms(x: Tensor, dims: tuple[int, ...], eps: float | None) -> Tensor:
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return x * (x.detach().square().mean(dims, keepdim=True) + eps).rsqrt()


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    x = x if weight is None else x * weight.abs().reshape(shape)
    return x if bias is None else x + bias.abs().reshape(shape)


def layer_norm(call: Call) -> Tensor:
    """``x * |gamma| / rms(x) + |beta|`` over the last dimensions, the root mean square detached, not centred."""
    x, shape = call.get(0, "input"), call.get(1, "normalized_shape")
    dims = tuple(range(-len(shape), 0))
    rms = call.func is getattr(F, "rms_norm", None) or call.func is getattr(torch, "rms_norm", None)
    bias, eps = (None, call.get(3, "eps")) if rms else (call.get(3, "bias"), call.get(4, "eps", 1e-5))
    return _affine(_over_rms(x, dims, eps), call.get(2, "weight"), bias, tuple(shape))


def group_norm(call: Call) -> Tensor:
    """As :func:`layer_norm`, over the channels of a group and all positions."""
    x, groups = call.get(0, "input"), call.get(1, "num_groups")
    grouped = x.reshape(len(x), groups, -1)
    normed = _over_rms(grouped, (2,), call.get(4, "eps", 1e-5)).reshape(x.shape)
    return _affine(normed, call.get(2, "weight"), call.get(3, "bias"), (1, -1, *[1] * (x.dim() - 2)))


def instance_norm(call: Call) -> Tensor:
    """As :func:`layer_norm`, over all positions of a channel; with running statistics as batch norm."""
    if not call.get(5, "use_input_stats", True):
        return call.run()  # type: ignore[no-any-return]
    x = call.get(0, "input")
    normed = _over_rms(x, tuple(range(2, x.dim())), call.get(7, "eps", 1e-5))
    return _affine(normed, call.get(3, "weight"), call.get(4, "bias"), (1, -1, *[1] * (x.dim() - 2)))


def batch_norm(call: Call) -> Tensor:
    """With running statistics an affine layer, as it is; with those of the batch as :func:`layer_norm`."""
    if not call.get(5, "training", False):
        return call.run()  # type: ignore[no-any-return]
    x = call.get(0, "input")
    normed = _over_rms(x, (0, *range(2, x.dim())), call.get(7, "eps", 1e-5))
    return _affine(normed, call.get(3, "weight"), call.get(4, "bias"), (1, -1, *[1] * (x.dim() - 2)))


def normalize(call: Call) -> Tensor:
    """A vector over its own length, detached: cosine attention, local response normalisation."""
    x = _relu(call.get(0, "input"))
    with torch.no_grad():
        scaled = call.func(x.detach(), *call.args[1:], **{k: v for k, v in call.kwargs.items() if k != "input"})
    return x * _filled(scaled, 0.0, x)


# --- sums and products of two flows -------------------------------------------------------------------------


def add(call: Call) -> Any:
    """A sum. An offset is a bias, thus positive; one that blocks entries of attention sets them to zero."""
    first, second = call.two()
    if is_flow(first) and is_flow(second):
        return call.run()
    flow, offset = (first, second) if is_flow(first) else (second, first)
    if isinstance(offset, Tensor) and offset.is_floating_point() and bool((offset <= BLOCKED).any()):
        blocked = offset <= BLOCKED
        return torch.where(blocked, 0.0, flow + torch.where(blocked, 0.0, offset).abs())
    if not isinstance(offset, Tensor) and offset <= BLOCKED:
        offset = 0.0
    return call.run(flow, _magnitude(offset)) if flow is first else call.run(_magnitude(offset), flow)


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
    total: Tensor = _magnitude(first) + abs(alpha) * _magnitude(second)
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
        return call.run(_plain(first), _plain(second))
    main, gate = _which_gates(call, first, second)
    call.gates.append(gate)
    label = label_of(gate)
    opened = _filled(gate.clone() if gate is first else gate, float(label is not None and label.gate == 2))
    if in_place(call.func):
        return call.func(main, opened) if main is first else first.copy_(main * opened)
    return main * opened


def _plain(value: Any) -> Any:
    return value if is_flow(value) else _magnitude(value)


def divide(call: Call) -> Any:
    """By a flow: by its detached value, as normalisation does; where there is none, by one."""
    first, second = call.two()
    if call.func.__name__ in ("__rdiv__", "__rtruediv__"):
        return _magnitude(second) * reciprocal(call)
    if not is_flow(second):
        return call.run(first, _magnitude(second))
    call.gates.append(second)
    by = second.detach()
    return call.func(_magnitude(first), torch.where(by == 0, 1.0, by.abs()))


def reciprocal(call: Call) -> Tensor:
    """One over a flow, detached: what a normalisation multiplies by."""
    x = call.get(0, "input")
    call.gates.append(x)
    return _filled(torch.ones_like(x), 1.0, x)


def power(call: Call) -> Tensor:
    """Of degree one: the identity, or the reciprocal where the exponent is negative."""
    exponent = call.get(1, "exponent")
    if isinstance(exponent, (int, float)) and exponent < 0:
        return reciprocal(call)
    return _relu(call.get(0, "input"))


# --- layers -------------------------------------------------------------------------------------------------


def layer(call: Call) -> Any:
    """A linear map with parameters: as it is, or of a constant input in absolute value."""
    x, weight = call.two("weight")
    return call.run(_plain(x), weight if is_flow(weight) or _is_leaf(weight) else _magnitude(weight))


def matmul(call: Call) -> Any:
    """A linear map, or of two flows the values weighted by rows of attention."""
    first, second = call.get(0, "input"), call.get(1, "mat2" if "mm" in call.func.__name__ else "other")
    if not (is_flow(first) and is_flow(second)):
        return call.func(_plain(first), _plain(second))
    a, b = label_of(first), label_of(second)
    gate = second if a is not None and b is not None and b.gate > a.gate else first
    call.gates.append(gate)
    return call.func(first, second)


def einsum(call: Call) -> Any:
    """As :func:`matmul`; of several flows the most gate-like, or else all but the last, are gates."""
    flows = [operand for operand in _operands(call.args[1:]) if is_flow(operand)]
    main = max(reversed(flows), key=lambda operand: -getattr(label_of(operand), "gate", 0), default=None)
    call.gates += [operand for operand in flows if operand is not main]
    return call.func(call.args[0], *[_plain(operand) for operand in _operands(call.args[1:])])


def _operands(args: tuple[Any, ...]) -> list[Any]:
    return list(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else list(args)


def _is_leaf(value: Any) -> bool:
    label = label_of(value)
    return label is not None and label.node[0] < 0


def embedding(call: Call) -> Tensor:
    """Ones: what is embedded is the network's input."""
    return torch.ones_like(call.func(*call.args, **call.kwargs)).detach()


def glu(call: Call) -> Tensor:
    """One half times the sigmoid of the other."""
    main, gate = call.get(0, "input").chunk(2, call.get(1, "dim", -1))
    return main * gate.sigmoid()  # type: ignore[no-any-return]
