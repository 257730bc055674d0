r"""Sums and concatenations that give equal shares to their branches, whatever has been pruned in them.

A sum :math:`y = \sum_j b_j` of :math:`k` flows becomes :math:`\sum_j b_j \, S / (k s_j)`. Here :math:`s_j` is the sum
of all elements of :math:`b_j`, and :math:`S = \sum_j s_j`; both are constants of the pass. The elements of :math:`y`
still add up to :math:`S`, and each branch contributes :math:`S / k`. A branch without flow does not count. The parts of
a concatenation have the same factors.

Modes with other ``shares`` replace :math:`1 / k` by their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from torch_synflow._torch.pytree import tree_leaves
from torch_synflow.flow.surrogate.call import Call, in_place, is_flow, label_of
from torch_synflow.flow.surrogate.exponents import ScaledFlow, exponent_of, times_power
from torch_synflow.flow.surrogate.mode import Flow, Surrogate
from torch_synflow.flow.surrogate.trace import Place, Plan

_SUMS = ("add", "sub")
_JOINS = ("cat", "concat", "concatenate")
#: operations that keep a stack of flows a stack
_OF_STACKS = ("mul", "div", "relu", "clone")
#: the shares of the branches of a sum, up to one factor, from what each carries and how many branches it stands for;
#: zero if both are zero
Shares = Callable[[Tensor, Tensor], Tensor]


class _Balanced(Flow):
    """The additions of the two modes below to the modes that they extend."""

    @staticmethod
    def shares(carried: Tensor, counts: Tensor, /) -> Tensor:
        """Equal shares: a nested sum stands for as many branches as it has."""
        return counts

    def align_exponents(self, name: str, values: list[Any], slots: list[int]) -> None:
        """As in the extended mode, but branches that meet keep their exponents."""
        if name not in _JOINS and not _meet(name, [values[slot] for slot in slots]):
            super().align_exponents(name, values, slots)

    def run_operation(self, name: str, surrogate: Surrogate | None, call: Call) -> Any:
        """As in the extended mode, but branches that meet have equal shares."""
        if name in _JOINS:
            return self._join(name, surrogate, call)
        first, second = call.two()
        if _meet(name, [first, second]):
            labels = [label_of(operand) for operand in (first, second)]
            numbers = [label.branches if label and label.node in self.plan.laid_open else None for label in labels]
            result, call.exponent, call.branches = _sum(_terms(call, first, second), self.shares, numbers)
            return first.copy_(result) if in_place(call.func) else result
        stacked = getattr(label_of(first), "stacked", None)
        if name in ("sum", "mean") and stacked is not None and _dimension(call, first) == stacked:
            result, *_ = _sum(first.unbind(stacked), self.shares)
            call.exponent = getattr(label_of(first), "exponent", None)
            result = result / first.shape[stacked] if name == "mean" else result
            return result.unsqueeze(stacked) if call.get(2, "keepdim", False) else result
        result = super().run_operation(name, surrogate, call)
        if name == "stack" and sum(is_flow(leaf) for leaf in tree_leaves(call.args)) > 1:
            call.stacked = call.get(1, "dim", 0) % result.dim()
        elif name in _OF_STACKS and stacked is not None and result.shape == first.shape:
            call.stacked = stacked
        return result

    def _join(self, name: str, surrogate: Surrogate | None, call: Call) -> Any:
        parts = list(call.get(0, "tensors"))
        call.args = (parts, *call.args[1:])
        call.kwargs = {key: value for key, value in call.kwargs.items() if key != "tensors"}
        if len(parts) < 2 or call.get(1, "dim", 0) in (0, -parts[0].dim()) or not all(map(is_flow, parts)):
            super().align_exponents(name, parts, list(range(len(parts))))
            return super().run_operation(name, surrogate, call)
        factors, call.exponent, _ = _factors(parts, self.shares, totals=(torch.sum,) * len(parts))
        shared = [part * factor for part, factor in zip(parts, factors, strict=True)]
        return call.func(shared, *call.args[1:], **call.kwargs)

    def total(self, outputs: Any) -> Tensor:
        """R, to which each output tensor of the model contributes equally."""
        flows = [leaf for leaf in tree_leaves(outputs) if is_flow(leaf)]
        if len(flows) < 2:
            return super().total(outputs)
        totals = [flow.sum() for flow in flows]
        for total, flow in zip(totals, flows, strict=True):
            total._synaptic_label = label_of(flow)
        return _sum(totals, self.shares)[0]

    def plan_for(self, outputs: Any) -> Plan:
        """As in the extended mode, with the sums that only one other sum reads."""
        plan, nodes = super().plan_for(outputs), self.trace.nodes
        sums = {place for place in self._level if self._is_balanced(place)}
        read = Counter(source for place in self._level for source in nodes[place].inputs)
        read.update(label.node for leaf in tree_leaves(outputs) if (label := label_of(leaf)) is not None)
        inner = (source for place in sums for source in nodes[place].inputs if source in sums and read[source] == 1)
        return replace(plan, laid_open=frozenset(inner))

    def _is_balanced(self, place: Place) -> bool:
        node = self.trace.nodes[place]
        return node.name in _SUMS and sum(self.trace.nodes[source].flow for source in node.inputs) == 2 > len(
            node.gates
        )


class BalancedFlow(_Balanced):
    """The surrogate of :class:`~torch_synflow.flow.surrogate.mode.Flow` with equal shares for the branches of a sum."""


class BalancedScaledFlow(_Balanced, ScaledFlow):
    """The same on values times powers of two."""


def _meet(name: str, operands: Sequence[Any]) -> bool:
    """Whether an operation is a sum in which two flows meet; subtracting the mean of a flow only centres it."""
    if name not in _SUMS or len(operands) != 2 or not all(map(is_flow, operands)):
        return False
    return name == "add" or not getattr(label_of(operands[1]), "mean", False)


def _dimension(call: Call, x: Tensor) -> int | None:
    """The dimension of a sum or a mean, if it has exactly one."""
    dim = call.get(1, "dim")
    dim = dim[0] if isinstance(dim, (tuple, list)) and len(dim) == 1 else dim
    return dim % x.dim() if isinstance(dim, int) else None


def _terms(call: Call, first: Tensor, second: Tensor) -> list[Tensor]:
    """The operands of a sum, with the factor ``alpha`` multiplied in."""
    alpha = abs(call.kwargs.get("alpha", 1))
    if alpha == 1:
        return [first, second]
    terms = [first * alpha, second] if "rsub" in call.func.__name__ else [first, second * alpha]
    for term, operand in zip(terms, (first, second), strict=True):
        term._synaptic_label = label_of(operand)
    return terms


def _sum(
    branches: Sequence[Tensor], shares: Shares, numbers: Sequence[Tensor | None] = ()
) -> tuple[Tensor, Tensor | None, Tensor]:
    """The balanced sum, its exponent if values have one, and the number of branches with flow."""
    factors, top, living = _factors(branches, shares, numbers)
    result = branches[0] * factors[0]
    for branch, factor in zip(branches[1:], factors[1:], strict=True):
        result = torch.addcmul(result, branch, factor)
    return result, top, living


def _factors(
    branches: Sequence[Tensor],
    shares: Shares,
    numbers: Sequence[Tensor | None] = (),
    totals: Sequence[Callable[[Tensor], Tensor]] = (),
) -> tuple[list[Tensor], Tensor | None, Tensor]:
    """The factors of branches, their common exponent if values have one, and the number with flow.

    Args:
        branches: the flows.
        shares: of the branches, from what they carry.
        numbers: the number of branches with flow in each of them, if they count one by one.
        totals: functions for the sum of each, if they are not broadcast to one shape.
    """
    top = None
    exponents: tuple[Tensor, ...] = ()
    if any(getattr(label_of(branch), "exponent", None) is not None for branch in branches):
        top = torch.stack([exponent_of(branch) for branch in branches]).amax()
        exponents = tuple(exponent_of(branch) - top for branch in branches)
    *factors, living = branch_factors(
        *branches, shares=shares, numbers=tuple(numbers), exponents=exponents, totals=totals
    )
    return factors, top, living


def branch_factors(
    *branches: Tensor,
    shares: Shares,
    numbers: tuple[Tensor | None, ...] = (),
    exponents: tuple[Tensor, ...] = (),
    totals: Sequence[Callable[[Tensor], Tensor]] = (),
) -> tuple[Tensor, ...]:
    """The constant factor of each branch of a sum, and the number of branches with flow.

    Other modes see it as one operation.

    Args:
        branches: the flows, of shapes that broadcast.
        shares: of the branches, from what they carry.
        numbers: the number of branches with flow in each of them; one if ``None``.
        exponents: the powers of two that multiply the flows, if they have exponents.
        totals: functions for the sum of each, if they are not broadcast to one shape, or represent larger tensors.
    """
    if has_torch_function(branches):
        return handle_torch_function(
            branch_factors, branches, *branches, shares=shares, numbers=numbers, exponents=exponents, totals=totals
        )
    totals = totals or _totals(branches)
    numbered = any(number is not None for number in numbers)
    if shares is _Balanced.shares and branches[0].is_cpu and not exponents and not numbered:
        return _equal_factors([total(branch).item() for total, branch in zip(totals, branches, strict=True)], branches)
    with torch.no_grad():
        sums = torch.stack([total(branch) for total, branch in zip(totals, branches, strict=True)])
        carried = times_power(sums, torch.stack(exponents)) if exponents else sums
        counts = sums.sign()
        if numbered:
            counts = counts * torch.stack([sums.new_ones(()) if one is None else one for one in numbers])
        parts = shares(carried, counts)
        number, least = parts.sum(), torch.finfo(sums.dtype).tiny  # without flow, all factors are 0
        factors = parts * (carried.sum() / number.clamp_min(least)) / sums.clamp_min(least)
        return *factors.unbind(), number if parts is counts else counts.sum()


def _equal_factors(sums: Sequence[float], branches: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What :func:`branch_factors` returns for equal shares; quicker where the host does not wait for numbers."""
    living = sum(one != 0 for one in sums)
    share = sum(sums) / max(living, 1)
    factors = [share / one if one else 0.0 for one in sums]
    return torch.tensor([*factors, living], dtype=branches[0].dtype).unbind()


def _totals(branches: Sequence[Tensor]) -> list[Callable[[Tensor], Tensor]]:
    """Functions for the sum of each of the branches, as they are broadcast to one shape."""
    if len({branch.shape for branch in branches}) == 1:
        return [torch.sum] * len(branches)
    size = torch.broadcast_shapes(*[branch.shape for branch in branches]).numel()
    return [partial(_sum_in, size=size)] * len(branches)


def _sum_in(branch: Tensor, *, size: int) -> Tensor:
    """The sum of a branch that is broadcast to the given number of elements."""
    return branch.sum() if branch.numel() in (0, size) else branch.sum() * (size // branch.numel())
