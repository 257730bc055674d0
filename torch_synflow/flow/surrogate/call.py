"""One operation of a forward pass, as its surrogate sees it, and helpers of surrogates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from torch_synflow.flow.surrogate.trace import Label, Trace

#: an offset at or below this value is an attention mask that blocks elements, not a bias
BLOCKED = -10.0
#: a division by the first argument
REVERSED = ("__rdiv__", "__rtruediv__")


def label_of(value: Any) -> Label | None:
    """The label of a tensor that the mode has seen."""
    return getattr(value, "_synaptic_label", None) if isinstance(value, Tensor) else None


def is_flow(value: Any) -> bool:
    """Whether ``value`` is a tensor on the way from the network's input."""
    label = label_of(value)
    return label is not None and label.flow


#: Python's method names of assignments such as ``+=``
_ASSIGNMENTS = frozenset(
    f"__i{name}__"
    for name in ("add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor",
                 "lshift", "rshift")
)  # fmt: skip
#: the names of the first two arguments of operations
_LEADING = (("input", "self", "tensor"), ("other", "weight", "mat2", "exponent"))


def in_place(func: Any) -> bool:
    """Whether an operation writes to its first argument."""
    name = str(getattr(func, "__name__", ""))
    return (name.endswith("_") and not name.endswith("__")) or name in _ASSIGNMENTS


@dataclass
class Call:
    """One operation of the forward pass.

    Attributes:
        func: the original operation.
        args: its positional arguments.
        kwargs: its keyword arguments.
        trace: the trace of the pass so far.
        gates: the tensor arguments that only scale the others, set by a surrogate.
        gate_slots: the positions of the gates among the arguments with a label.
        exponent: the exponent of the result, if values have exponents.
        index: the number of the call in the pass.
        stacked: the dimension along which the result holds several flows, if it is a stack of them.
        branches: the number of branches with flow in the result, if it is a sum.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    trace: Trace
    gates: list[Tensor] = field(default_factory=list)
    gate_slots: frozenset[int] = frozenset()
    exponent: Tensor | None = None
    index: int = -1
    stacked: int | None = None
    branches: Tensor | None = None

    def run(self, *args: Any) -> Any:
        """The operation itself with different leading arguments, positional or not."""
        given = {name for names in _LEADING[: len(args)] for name in names}
        kwargs = {name: value for name, value in self.kwargs.items() if name not in given}
        return self.func(*args, *self.args[len(args) :], **kwargs)

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """An argument that may be positional or not."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def two(self, second: str = "other") -> tuple[Any, Any]:
        """The two operands."""
        return self.get(0, "input"), self.get(1, second)


def magnitude(value: Any) -> Any:
    """A factor or an offset that is not a flow, made positive like weights."""
    if isinstance(value, Tensor):
        return value.abs() if value.is_floating_point() else value
    return abs(value) if isinstance(value, (int, float)) else value


def filled(value: Tensor, zero: Tensor | float, divisor: Tensor | None = None) -> Tensor:
    """``value`` over its own detached value (or ``divisor``), and ``zero`` where the divisor is zero."""
    by = (value if divisor is None else divisor).detach()
    dead = by == 0
    return torch.where(dead, zero, value / torch.where(dead, 1.0, by))


def relu(x: Tensor) -> Tensor:
    """ReLU that saves no output for its gradient, so later operations can work in place."""
    return x.clamp(min=0)


def plain(value: Any) -> Any:
    """A flow unchanged, or the magnitude of a constant."""
    return value if is_flow(value) else magnitude(value)


def in_one_precision(values: list[Any]) -> list[Any]:
    """Values with their floating-point tensors in the widest precision among them, with their labels."""
    floating = [value for value in values if isinstance(value, Tensor) and value.is_floating_point()]
    if len({value.dtype for value in floating}) < 2:
        return values
    widest = max((value.dtype for value in floating), key=lambda dtype: torch.finfo(dtype).bits)
    return [_cast(value, widest) if any(value is one for one in floating) else value for value in values]


def _cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    if value.dtype == dtype:
        return value
    cast: Any = value.to(dtype)
    cast._synaptic_label = label_of(value)
    return cast  # type: ignore[no-any-return]
