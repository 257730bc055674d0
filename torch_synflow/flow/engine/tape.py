"""A forward pass as a list of operations, recorded once and replayed on other weights without the model's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from torch_synflow._torch.pytree import tree_leaves, tree_map


@dataclass(frozen=True)
class Slot:
    """A placeholder of a tensor that depends on the scored weights."""

    index: int


@dataclass(frozen=True)
class Constant:
    """A placeholder of a tensor that does not depend on the scored weights."""

    index: int


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        func: the function that is called.
        args: its positional arguments, with slots in them.
        kwargs: its keyword arguments, with slots in them.
        outs: the slots of the tensors that it returns, in order; ``None`` for other values.
        writes: whether it writes to its first argument.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outs: tuple[int | None, ...]
    writes: bool = False

    @property
    def slots(self) -> list[int]:
        """The slots that it reads."""
        return [leaf.index for leaf in tree_leaves((self.args, self.kwargs)) if isinstance(leaf, Slot)]


class Tape:
    """A recorded pass.

    Args:
        steps: its operations.
        constants: the tensors that :class:`Constant` placeholders stand for.
        shapes: the shapes of the tensors in the slots.
        result: the slot of the scalar that the pass computes.

    Attributes:
        steps: the operations that the result needs.
        shapes: the shapes of the tensors in the slots.
        result: the slot of the scalar.
    """

    def __init__(
        self, steps: Sequence[Step], constants: Sequence[Tensor], shapes: Mapping[int, torch.Size], result: int
    ) -> None:
        filled = [_with_constants(step, constants) for step in steps]
        needed, kept = {result}, []
        for step in reversed(filled):
            if step.writes or any(out in needed for out in step.outs):
                needed.update(step.slots)
                kept.append(step)
        self.shapes = shapes
        self.result = result
        self.rewrite(kept[::-1])

    def rewrite(self, steps: Sequence[Step]) -> None:
        """Replace the operations."""
        self.steps = list(steps)
        self._consumers: dict[int, list[int]] = {}
        for index, step in enumerate(self.steps):
            for slot in set(step.slots):
                self._consumers.setdefault(slot, []).append(index)
        self._dead: list[list[int]] = [[] for _ in self.steps]
        for slot, uses in self._consumers.items():
            if slot != self.result:
                self._dead[uses[-1]].append(slot)
        self._plain = [  # no slot is inside a tuple, list or mapping, which is the slow case
            len(s.slots) == sum(type(a) is Slot for a in (*s.args, *s.kwargs.values())) for s in steps
        ]

    def run(self, values: Mapping[int, Tensor], special: Mapping[int, Callable[..., Any]]) -> Tensor:
        """The result for other weights.

        Args:
            values: the weights by slot.
            special: functions that replace a step, by its index, and take the same arguments.
        """
        env = dict(values)
        for index, step in enumerate(self.steps):
            if self._plain[index]:
                args = [env[a.index] if type(a) is Slot else a for a in step.args]
                kwargs = {k: env[v.index] if type(v) is Slot else v for k, v in step.kwargs.items()}
            else:
                args, kwargs = tree_map(lambda a: env[a.index] if type(a) is Slot else a, (step.args, step.kwargs))
            result = special.get(index, step.func)(*args, **kwargs)
            if len(step.outs) == 1 and step.outs[0] is not None:
                env[step.outs[0]] = result if isinstance(result, Tensor) else tree_leaves(result)[0]
            elif step.outs:
                flat = type(result) is tuple and len(result) == len(step.outs)  # tree_leaves is slow
                leaves = result if flat else tree_leaves(result)
                env.update({out: leaf for out, leaf in zip(step.outs, leaves, strict=True) if out is not None})
            for slot in self._dead[index]:
                env.pop(slot, None)
        return env[self.result]

    def consumers(self, slot: int) -> list[int]:
        """The indices of the steps that read a slot."""
        return self._consumers.get(slot, [])

    def simplify(self, same: Callable[[Step], int | None]) -> None:
        """Leave out the steps that return the content of an existing slot, according to ``same``."""
        renamed: dict[int, int] = {}

        def rename(leaf: Any) -> Any:
            return Slot(renamed[leaf.index]) if isinstance(leaf, Slot) and leaf.index in renamed else leaf

        steps = []
        for old in self.steps:
            changed = any(slot in renamed for slot in old.slots)
            step = (
                replace(old, args=tree_map(rename, old.args), kwargs=tree_map(rename, old.kwargs)) if changed else old
            )
            slot = same(step)
            if slot is None:
                steps.append(step)
            else:
                (out,) = step.outs
                assert out is not None
                renamed[out] = slot
        self.rewrite(steps)


def arguments(step: Step, names: Sequence[str]) -> dict[str, Any]:
    """The arguments of a step by name, positional or not."""
    return {**dict(zip(names, step.args, strict=False)), **step.kwargs}


def _with_constants(step: Step, constants: Sequence[Tensor]) -> Step:
    def fill(leaf: Any) -> Any:
        return constants[leaf.index] if isinstance(leaf, Constant) else leaf

    return replace(step, args=tree_map(fill, step.args), kwargs=tree_map(fill, step.kwargs))
