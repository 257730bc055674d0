"""Flows of any magnitude: tensors with a value and a power of two, so no depth overflows.

Scores are used for ranking, so a common factor does not matter. The output of each layer is divided by a power of two,
and its label stores the exponent. If two flows meet, the smaller one is shifted. No digit is lost, because only
exponents change.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from torch_synflow._torch.pytree import tree_leaves, tree_map
from torch_synflow.flow.surrogate.call import REVERSED, Call, in_place, is_flow, label_of
from torch_synflow.flow.surrogate.mode import Flow, Surrogate
from torch_synflow.flow.surrogate.objective import sum_of_outputs
from torch_synflow.flow.surrogate.operations import CONVOLUTIONS, NORMALISED, PRODUCTS
from torch_synflow.flow.surrogate.sums import bias_of, blocked_by, subtracted_mask

#: products of two flows in which one counts relative to its own size
_OVER_THE_GATE = ("mul", "matmul", "mm", "bmm", "mv")


class ScaledFlow(Flow):
    """The surrogate of :class:`~torch_synflow.flow.surrogate.mode.Flow` on values times powers of two."""

    def align_exponents(self, name: str, values: list[Any], slots: list[int]) -> None:
        """Shift the flows that an operation adds or joins to one exponent."""
        flows = [slot for slot in slots if is_flow(values[slot])]
        if len(flows) < 2 or name in PRODUCTS:
            return
        top = torch.stack([exponent_of(values[slot]) for slot in flows]).amax()
        for slot in flows:
            values[slot] = _shifted(values[slot], top)

    def run_operation(self, name: str, surrogate: Surrogate | None, call: Call) -> Any:
        """Run on the values; say in ``call`` what the exponent of the result is."""
        flows = [v for v in tree_leaves((call.args, call.kwargs)) if is_flow(v)]
        exponent = torch.stack([exponent_of(v) for v in flows]).amax() if flows else None
        first, second = call.get(0, "input"), call.get(1, "other")
        if name in CONVOLUTIONS or name == "linear":
            return self._layer(name, surrogate, call, exponent)
        if name == "batch_norm" and not call.get(5, "training", False) and exponent is not None:
            return self._batch_norm(call, exponent)
        if name in NORMALISED and len(flows) == 1 and call.args and exponent is not None:
            # at its own magnitude as far as squares stay finite, as it is compared with a small constant
            bound = math.log2(torch.finfo(exponent.dtype).max) // 4
            call.args = (_shifted(first, exponent - exponent.clamp(-bound, bound)), *call.args[1:])
        if name in ("add", "sub") and len(flows) == 1 and exponent is not None:
            flow, offset = (first, second) if is_flow(first) else (second, first)
            offset = bias_of(call, flow, offset) if name == "add" else offset
            alike = isinstance(offset, Tensor) and offset.is_floating_point()
            offset = offset if alike else torch.full_like(exponent, float(offset))
            minuend = name == "sub" and flow is first and "rsub" not in call.func.__name__
            found = subtracted_mask(offset) if minuend else blocked_by(offset)
            blocked = torch.zeros_like(offset, dtype=torch.bool) if found is None else found
            top = torch.where((offset.abs() * ~blocked).any(), exponent.clamp(min=0), exponent)
            as_it_is = blocked | (offset == 0)  # zero times an infinite power is none
            args = [_shifted(flow, top), torch.where(as_it_is, offset, times_power(offset, -top))]
            args[1]._synaptic_bias, args[1]._synaptic_blocked = True, blocked  # type: ignore[attr-defined]
            operands = args if flow is first else args[::-1]
            shifted = Call(call.func, (*operands, *call.args[2:]), call.kwargs, call.trace)
            result = super().run_operation(name, surrogate, shifted)
            result = flow.copy_(result) if in_place(call.func) else result
            call.exponent = top
            return result
        result = super().run_operation(name, surrogate, call)
        call.exponent = exponent
        if name in NORMALISED:
            call.exponent = None
        elif name in ("reciprocal", "rsqrt") or (
            name == "div" and (not is_flow(first) or call.func.__name__ in REVERSED)
        ):
            call.exponent = None if exponent is None else -exponent
        elif name == "div" and is_flow(second):
            call.exponent = exponent_of(first) - exponent_of(second)
        elif name in _OVER_THE_GATE and len(flows) == 2:
            call.exponent = exponent_of(next((v for v in flows if v is not call.gates[0]), flows[0]))
        elif name in PRODUCTS and flows:
            call.exponent = torch.stack([exponent_of(v) for v in flows]).sum()
        return self._rescaled(result, call) if name in ("add", "cat", *PRODUCTS) else result

    def total(self, outputs: Any) -> Tensor:
        """R over a power of two."""
        exponents = [exponent_of(leaf) for leaf in tree_leaves(outputs) if is_flow(leaf)]
        if not exponents:
            return sum_of_outputs(outputs)
        top = torch.stack(exponents).amax()
        return sum_of_outputs(tree_map(lambda leaf: _shifted(leaf, top) if is_flow(leaf) else leaf, outputs))

    def _layer(self, name: str, surrogate: Surrogate | None, call: Call, exponent: Tensor | None) -> Any:
        bias = call.get(2, "bias")
        plain = Call(call.func, call.args[:2], {**call.kwargs, "bias": None}, call.trace)
        if len(call.args) > 2:
            plain = Call(call.func, (*call.args[:2], None, *call.args[3:]), call.kwargs, call.trace)
        call.exponent = exponent
        result = self._rescaled(super().run_operation(name, surrogate, plain), call)
        if bias is None:
            return result
        return _with_offset(result, bias.reshape(-1, *[1] * (int(name[-2]) if name in CONVOLUTIONS else 0)), call)

    def _batch_norm(self, call: Call, exponent: Tensor) -> Any:
        x, mean, var = (call.get(i, n) for i, n in enumerate(("input", "running_mean", "running_var")))
        weight, bias = call.get(3, "weight"), call.get(4, "bias")
        scale = (var + call.get(7, "eps", 1e-5)).rsqrt() * (1 if weight is None else weight)
        offset = (0 if bias is None else bias) - mean * scale
        call.exponent = exponent
        shape = (-1, *[1] * (x.dim() - 2))
        return _with_offset(self._rescaled(x * scale.reshape(shape), call), offset.reshape(shape), call)

    def _rescaled(self, result: Any, call: Call) -> Any:
        """The result over the power of two that brings its greatest entry below one."""
        if not isinstance(result, Tensor) or not result.numel():
            return result
        greatest = result.detach().abs().amax()
        power = torch.frexp(greatest).exponent.to(greatest.dtype)
        power = torch.where(torch.isfinite(greatest) & (greatest > 0), power, 0.0)
        call.exponent = power if call.exponent is None else call.exponent + power
        return times_power(result, -power)


def times_power(value: Tensor, power: Tensor) -> Tensor:
    """``value`` times two to a power; a product, as the gradient of ``ldexp`` would keep ``value``."""
    return value * torch.ldexp(torch.ones_like(power), power)


def exponent_of(tensor: Tensor) -> Tensor:
    """The power of two that the value of ``tensor`` is to be taken times."""
    label = label_of(tensor)
    if label is None or label.exponent is None:
        return torch.zeros((), dtype=tensor.dtype, device=tensor.device)
    return label.exponent


def _shifted(tensor: Tensor, exponent: Tensor) -> Tensor:
    """The value of ``tensor`` at another exponent."""
    label = label_of(tensor)
    shifted = times_power(tensor, exponent_of(tensor) - exponent)
    if label is not None:
        shifted._synaptic_label = label.at(exponent)  # type: ignore[attr-defined]
    return shifted


def _with_offset(value: Tensor, offset: Tensor, call: Call) -> Tensor:
    """The value plus an offset of exponent zero, which is ignored if it is all zero."""
    exponent = torch.zeros_like(value.detach().amax()) if call.exponent is None else call.exponent
    top = torch.where(offset.any(), exponent.clamp(min=0), exponent)
    call.exponent = top
    return times_power(value, exponent - top) + torch.where(offset == 0, 0.0, times_power(offset, -top))
