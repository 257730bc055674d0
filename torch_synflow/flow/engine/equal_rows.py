"""Feature maps with equal rows and columns, which are computed once.

An input of ones is the same everywhere, so after convolutions and pooling, only positions near a border differ from
those in the middle. A recorded pass holds such a map as its different rows and columns, with the number of consecutive
repetitions of each. It computes a window only if its content differs from the previous window. Results are the same up
to the order of summation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from torch_synflow._torch.pytree import tree_leaves, tree_map
from torch_synflow.flow.engine.held_maps import Take, Total
from torch_synflow.flow.engine.runs import Runs, common_runs, refined, runs_of, windows_along
from torch_synflow.flow.engine.tape import Slot, Step, Tape, arguments
from torch_synflow.flow.surrogate.operations import name_of

#: operations on each position by itself
_POINTWISE = frozenset(
    ("add", "sub", "mul", "div", "addcmul", "relu", "clamp", "clamp_min", "clone", "copy", "detach", "abs")
)
#: the same without writing to the first argument
_BY_NAME: dict[str, Callable[..., Any]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div,
    "copy": lambda target, source: source.expand_as(target),
}  # fmt: skip
#: operations whose result shares no memory with an argument
_NEW = frozenset(("conv2d", "addcmul", "add", "sub", "mul", "div", "branch_factors"))
#: operations whose result does not depend on how often a row is repeated
_REPEATABLE = frozenset(("amax",))
#: operations with windows: the names of their arguments, and the value beyond the border
_WINDOWS: dict[str, tuple[tuple[str, ...], float]] = {
    "conv2d": (("input", "weight", "bias", "stride", "padding", "dilation", "groups"), 0.0),
    "max_pool2d": (("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"), -torch.inf),
    "avg_pool2d": (
        ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
        0.0,
    ),
}
#: the least number of positions that an output must save
_WORTH = 0.75


def share_positions(tape: Tape) -> None:
    """Compute equal rows and columns of feature maps once."""
    rewriting = _Rewriting(tape)
    for step in tape.steps:
        if not rewriting.add(step):
            return  # it writes to a map of another form, so nothing changes
    tape.shapes = rewriting.shapes
    tape.rewrite(rewriting.steps)


class _Rewriting:
    def __init__(self, tape: Tape) -> None:
        self.shapes = dict(tape.shapes)
        self.steps: list[Step] = []
        self._tape = tape
        self._whole = tape.shapes
        self._runs: dict[int, Runs] = {}
        self._expanded: dict[int, int] = {}
        self._next = 1 + max(tape.shapes)
        self._makers = {out: step for step in tape.steps for out in step.outs if out is not None}

    def add(self, step: Step) -> bool:
        """Add an operation in its new form; false if that is impossible."""
        name = name_of(step.func)
        if name in _WINDOWS and self._windows(step, name):
            return True
        held = [slot for slot in step.slots if slot in self._runs]
        if not held:
            self.steps.append(step)
            return True
        if name in _POINTWISE and self._pointwise(step, held):
            return True
        if name in _REPEATABLE and len(step.args) == 1 and not step.kwargs:
            self.steps.append(step)
            return True
        if name == "branch_factors" and self._all_held(step):
            totals = [Total(self._runs[leaf.index]) for leaf in step.args]
            self.steps.append(replace(step, kwargs={**step.kwargs, "totals": totals}))
            return True
        if name == "cat" and self._is_of_channels(step) and self._all_held(step):
            self._join(step, held)
            return True
        if step.writes and step.args[0] in [Slot(slot) for slot in held]:
            return False
        self.steps.append(_renamed(step, {slot: self._expand(slot) for slot in held}))
        return True

    def _windows(self, step: Step, name: str) -> bool:
        names, beyond = _WINDOWS[name]
        given = arguments(step, names)
        source, padding = given["input"], given.get("padding", 0)
        x = self._whole[source.index] if isinstance(source, Slot) else source.shape
        if len(x) != 4 or isinstance(padding, str) or given.get("ceil_mode") or given.get("return_indices"):
            return False
        if name == "avg_pool2d" and (not given.get("count_include_pad", True) or given.get("divisor_override")):
            return False
        runs = self._runs.get(source.index) if isinstance(source, Slot) else runs_of(source)
        if runs is None:
            return False
        weight = given.get("weight")
        size = given.get("kernel_size")
        if weight is not None:
            size = (self._whole[weight.index] if isinstance(weight, Slot) else weight.shape)[2:]
        stride = given.get("stride")
        stride = _pair(size if stride in (None, []) else stride)
        spread = (_pair(size), stride, _pair(padding), _pair(given.get("dilation", 1)))
        rows, columns = (windows_along(runs[axis], *(values[axis] for values in spread)) for axis in (0, 1))
        if rows is None or columns is None:
            return False
        (out,) = step.outs
        assert out is not None
        if len(rows.runs) * len(columns.runs) > _WORTH * sum(rows.runs) * sum(columns.runs):
            return False
        sides = (len(r) if w.take is None else len(w.take) for r, w in zip(runs, (rows, columns), strict=True))
        taken = self._taken(source, runs, (rows.take, columns.take), beyond, torch.Size((*x[:2], *sides)))
        left = [p if w.take is None else 0 for p, w in zip(spread[2], (rows, columns), strict=True)]
        given |= {"input": taken, "padding": tuple(left)}
        self.steps.append(_called(step, names, given))
        self._hold(out, (rows.runs, columns.runs))
        return True

    def _taken(
        self, source: Any, runs: Runs, take: tuple[list[int] | None, list[int] | None], beyond: float, shape: Any
    ) -> Any:
        """The rows and columns over which windows slide."""
        if not isinstance(source, Slot):  # a constant, which is held whole
            starts = [[*accumulate(lengths, initial=0)] for lengths in runs]
            source = source[:, :, starts[0][:-1]][:, :, :, starts[1][:-1]]
            return Take(take, beyond)(source)
        if take == (None, None):
            return source
        return Slot(self._made(Take(take, beyond), source, torch.Size(shape)))

    def _pointwise(self, step: Step, held: Sequence[int]) -> bool:
        """Arguments that are not held maps must be the same at all positions."""
        for leaf in tree_leaves((step.args, step.kwargs)):
            if isinstance(leaf, Slot) and leaf.index not in self._runs and not _is_spread(self._whole[leaf.index]):
                return False
            if isinstance(leaf, Tensor) and not _is_spread(leaf.shape):
                return False
        if step.writes and len({self._runs[slot] for slot in held}) > 1:
            if not self._is_free(step):
                return False
            step = replace(step, func=_BY_NAME[name_of(step.func)], writes=False)
        self._join(step, held)
        return True

    def _is_free(self, step: Step) -> bool:
        """Whether writing to the first argument has no other effect: the argument is new and not read afterwards."""
        target = step.args[0]
        if not isinstance(target, Slot) or name_of(step.func) not in _BY_NAME:
            return False
        maker = self._makers.get(target.index)
        *before, last = (self._tape.steps[index] for index in self._tape.consumers(target.index))
        return (
            maker is not None
            and all(not made.writes and name_of(made.func) in _NEW for made in (maker, *before))
            and last is step
        )

    def _is_of_channels(self, step: Step) -> bool:
        dim = step.args[1] if len(step.args) > 1 else step.kwargs.get("dim", 0)
        return dim in (1, -3)

    def _all_held(self, step: Step) -> bool:
        tensors = [leaf for leaf in tree_leaves(step.args) if isinstance(leaf, (Slot, Tensor))]
        return all(isinstance(leaf, Slot) and leaf.index in self._runs for leaf in tensors)

    def _join(self, step: Step, held: Sequence[int]) -> None:
        """Add an operation on maps after converting them to the same rows and columns."""
        common: Runs = tuple(common_runs(self._runs[slot][axis] for slot in held) for axis in (0, 1))  # type: ignore[assignment]
        names = {}
        for slot in set(held):
            take = tuple(refined(self._runs[slot][axis], common[axis]) for axis in (0, 1))
            if take != (None, None):
                shape = torch.Size((*self._whole[slot][:2], len(common[0]), len(common[1])))
                names[slot] = self._made(Take(take, 0.0), Slot(slot), shape)
        self.steps.append(_renamed(step, names))
        for out in step.outs:
            if out is not None:
                self._hold(out, common)

    def _expand(self, slot: int) -> int:
        if slot not in self._expanded:
            take = tuple([i for i, length in enumerate(runs) for _ in range(length)] for runs in self._runs[slot])
            self._expanded[slot] = self._made(Take(take, 0.0), Slot(slot), self._whole[slot])
        return self._expanded[slot]

    def _made(self, func: Callable[..., Any], source: Slot, shape: torch.Size) -> int:
        slot, self._next = self._next, self._next + 1
        self.steps.append(Step(func, (source,), {}, (slot,)))
        self.shapes[slot] = shape
        return slot

    def _hold(self, slot: int, runs: Runs) -> None:
        self._runs[slot] = runs
        self.shapes[slot] = torch.Size((*self._whole[slot][:2], len(runs[0]), len(runs[1])))


def _is_spread(shape: torch.Size) -> bool:
    """Whether a tensor of this shape, broadcast to a map, is the same at all positions."""
    return all(size == 1 for size in shape[-2:])


def _pair(value: Any) -> tuple[int, int]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return (values[0], values[-1])


def _called(step: Step, names: Sequence[str], given: dict[str, Any]) -> Step:
    """A step with different arguments of the same names."""
    args = tuple(given[name] for name in names[: len(step.args)])
    return replace(step, args=args, kwargs={k: v for k, v in given.items() if k not in names[: len(step.args)]})


def _renamed(step: Step, names: dict[int, int]) -> Step:
    def rename(leaf: Any) -> Any:
        return Slot(names[leaf.index]) if isinstance(leaf, Slot) and leaf.index in names else leaf

    return replace(step, args=tree_map(rename, step.args), kwargs=tree_map(rename, step.kwargs))
