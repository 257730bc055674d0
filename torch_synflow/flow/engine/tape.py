"""A forward pass as a list of operations: recorded once, run again on other weights without the model's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torch_synflow._torch.functions import autograd_function
from torch_synflow._torch.pytree import tree_leaves, tree_map
from torch_synflow.flow.surrogate.call import in_place

#: what hands values of tensors to Python, which may decide by them what to do next
_READ_BY_PYTHON = frozenset(
    (
        "__bool__", "__int__", "__float__", "__complex__", "__index__", "__contains__", "__array__", "item", "tolist",
        "numpy", "equal", "allclose", "is_nonzero",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Slot:
    """Stands for a tensor that depends on the scored weights."""

    index: int


@dataclass(frozen=True)
class Constant:
    """Stands for a tensor that does not, until it is put there."""

    index: int


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        func: what is called.
        args: its positional arguments, with slots in them.
        kwargs: its keyword arguments, with slots in them.
        outs: the slots of the tensors that it returns, in order; ``None`` for what is no tensor.
        writes: whether it writes to its first argument.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outs: tuple[int | None, ...]
    writes: bool = False

    @property
    def slots(self) -> list[int]:
        """What it reads."""
        return [leaf.index for leaf in tree_leaves((self.args, self.kwargs)) if isinstance(leaf, Slot)]


class Recorder(TorchFunctionMode):
    """Within it operations that depend on the scored weights are written down.

    Attributes:
        steps: these operations, in order.
        constants: the tensors that they read and that do not depend on the weights.
        shapes: of the tensors in the slots.
        broken: why what is written down can not be run again, empty if it can.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.constants: list[Tensor] = []
        self.shapes = {index: tensor.shape for index, tensor in enumerate(weights.values())}
        self.broken = ""
        self._weights = list(weights.values())
        self._slots = {id(tensor): index for index, tensor in enumerate(self._weights)}
        self._constants: dict[int, int] = {}
        self._made: list[Any] = []  # kept, so that identities stay unique
        self._count = len(self._weights)

    def slot_of(self, tensor: Tensor) -> int | None:
        """The slot of a tensor that depends on the weights."""
        return self._slots.get(id(tensor))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``, and write it down if what it reads depends on the weights."""
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        name, writes = str(getattr(func, "__name__", func)), in_place(func)
        depends = any(id(tensor) in self._slots for tensor in tensors)
        if writes and id(args[0]) in self._constants:
            self.broken = self.broken or f"{name!r} writes to a tensor that was read before"
        if not depends:
            result = func(*args, **kwargs)
            if any(leaf.requires_grad for leaf in _tensors(result)):
                self.broken = self.broken or f"{name!r} reads what torch functions do not see"
            return result
        if name in _READ_BY_PYTHON or isinstance(kwargs.get("out"), Tensor):
            self.broken = self.broken or f"{name!r} takes values out of the pass"
        written = name == "__setitem__" or writes
        if written and id(args[0]) not in self._slots:
            self._write(torch.clone, (args[0].clone(),), {}, [args[0]])
        places = tree_map(self._place, (tuple(args), dict(kwargs)))
        result = func(*args, **kwargs)
        made = _tensors(result)
        if autograd_function(func, args) is not None:
            func, places = args[0].apply, (places[0][1:], places[1])
        if made or written:
            self._write(func, places[0], places[1], tree_leaves(result), writes=written)
            self._made.append(result)
        return result

    def _write(self, func: Any, args: Any, kwargs: Any, results: Sequence[Any], *, writes: bool = False) -> None:
        if func is torch.clone and isinstance(args[0], Tensor):
            args = (self._place(args[0]),)
        outs: list[int | None] = []
        for result in results:
            outs.append(self._count if isinstance(result, Tensor) else None)
            if isinstance(result, Tensor):
                self._slots[id(result)] = self._count
                self.shapes[self._count] = result.shape
                self._made.append(result)
                self._count += 1
        self.steps.append(Step(func, args, kwargs, tuple(outs), writes))

    def _place(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) in self._slots:
            return Slot(self._slots[id(leaf)])
        if leaf.requires_grad:
            self.broken = self.broken or "an operation that torch functions do not see"
        if id(leaf) not in self._constants:
            self._constants[id(leaf)] = len(self.constants)
            self.constants.append(leaf)
        return Constant(self._constants[id(leaf)])


class Tape:
    """A recorded pass.

    Args:
        steps: its operations.
        constants: the tensors for which :class:`Constant` stands in them.
        shapes: of the tensors in the slots.
        result: the slot of the scalar that the pass computes.

    Attributes:
        steps: the operations that the result needs.
        shapes: of the tensors in the slots.
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
        """Put other operations in the place of these."""
        self.steps = list(steps)
        self._consumers: dict[int, list[int]] = {}
        for index, step in enumerate(self.steps):
            for slot in set(step.slots):
                self._consumers.setdefault(slot, []).append(index)
        self._dead: list[list[int]] = [[] for _ in self.steps]
        for slot, uses in self._consumers.items():
            if slot != self.result:
                self._dead[uses[-1]].append(slot)
        self._plain = [  # no slot is within a tuple, list or mapping, which is the slow case
            len(s.slots) == sum(type(a) is Slot for a in (*s.args, *s.kwargs.values())) for s in steps
        ]

    def run(self, values: Mapping[int, Tensor], special: Mapping[int, Callable[..., Any]]) -> Tensor:
        """The result for other weights.

        Args:
            values: the weights by slot.
            special: what runs in the place of a step, by its index, called with the same arguments.
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
                env.update(
                    {out: leaf for out, leaf in zip(step.outs, tree_leaves(result), strict=True) if out is not None}
                )
            for slot in self._dead[index]:
                env.pop(slot, None)
        return env[self.result]

    def consumers(self, slot: int) -> list[int]:
        """The indices of the steps that read a slot."""
        return self._consumers.get(slot, [])

    def simplify(self, same: Callable[[Step], int | None]) -> None:
        """Leave out the steps that return what is in a slot already, which ``same`` tells."""
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
    """The arguments of a step by their names, positional or not."""
    return {**dict(zip(names, step.args, strict=False)), **step.kwargs}


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _with_constants(step: Step, constants: Sequence[Tensor]) -> Step:
    def fill(leaf: Any) -> Any:
        return constants[leaf.index] if isinstance(leaf, Constant) else leaf

    return replace(step, args=tree_map(fill, step.args), kwargs=tree_map(fill, step.kwargs))
