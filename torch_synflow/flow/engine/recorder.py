"""The recorder of a forward pass, which also detects operations that cannot be replayed."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torch_synflow._torch.function_modes import FunctionMode
from torch_synflow._torch.functions import autograd_function
from torch_synflow._torch.pytree import tree_leaves, tree_map
from torch_synflow._torch.thread_state import OURS
from torch_synflow.flow.engine.tape import Constant, Slot, Step
from torch_synflow.flow.surrogate.call import in_place

#: operations that return values of tensors to Python, which may decide by them
_READ_BY_PYTHON = frozenset(
    (
        "__bool__", "__int__", "__float__", "__complex__", "__index__", "__contains__", "__array__", "item", "tolist",
        "numpy", "equal", "allclose", "is_nonzero",
    )
)  # fmt: skip
#: operations whose output size depends on the values of their input
_OF_ANY_SIZE = frozenset(("nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "bincount"))
#: operations that take a precision and a device, and no value or shape, from tensors after the first
_CASTS = frozenset(("to", "type_as"))


class Recorder(FunctionMode):
    """A mode that records the operations that depend on the scored weights.

    Attributes:
        steps: the recorded operations, in order.
        constants: the tensors that they read and that do not depend on the weights.
        shapes: the shapes of the tensors in the slots.
        broken: the reason why the recording cannot be replayed, empty if it can.
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
        self._made: list[Any] = []  # kept alive, so identities stay unique
        self._count = len(self._weights)

    def _give_up(self, reason: str) -> None:
        """Note the first reason why the recording cannot be replayed, and the line of the model's code."""
        self.broken = self.broken or f"{reason}{_line_of_the_model()}"

    def slot_of(self, tensor: Tensor) -> int | None:
        """The slot of a tensor that depends on the weights."""
        return self._slots.get(id(tensor))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``, and record it if its arguments depend on the weights."""
        kwargs = kwargs or {}
        name, writes = str(getattr(func, "__name__", func)), in_place(func)
        tensors = _tensors(args[:1] if name in _CASTS else (args, kwargs))
        if writes and not args:  # torch.relu_(input=x)
            first, *others = kwargs
            args, kwargs = (kwargs[first],), {key: kwargs[key] for key in others}
        depends = any(id(tensor) in self._slots for tensor in tensors)
        if writes and id(args[0]) in self._constants:
            self._give_up(f"{name!r} writes to a tensor that was read before")
        if any(isinstance(leaf, torch.Generator) for leaf in (*args, *kwargs.values())):
            self._give_up(f"{name!r} draws from a generator")
        if not depends:
            result = func(*args, **kwargs)
            if any(leaf.requires_grad for leaf in _tensors(result)):
                self._give_up(f"{name!r} reads what torch functions do not see")
            return result
        if name in _READ_BY_PYTHON or isinstance(kwargs.get("out"), Tensor):
            self._give_up(f"{name!r} takes values out of the pass")
        if name in _OF_ANY_SIZE or _counts(name, args, kwargs, self._slots) or _chooses(name, args, self._slots):
            self._give_up(f"{name!r} makes a tensor whose size depends on the weights")
        written = name == "__setitem__" or writes
        if written and id(args[0]) not in self._slots:
            self._write(torch.clone, (args[0].clone(),), {}, [args[0]])
        places = tree_map(self._place, (tuple(args), dict(kwargs)))
        result = func(*args, **kwargs)
        made = _tensors(result)
        if autograd_function(func, args) is not None:
            func, places = args[0].apply, (places[0][1:], places[1])
        if not torch.is_grad_enabled():
            func = _WithoutGradient(func)
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
            self._give_up("an operation that torch functions do not see")
        if id(leaf) not in self._constants:
            self._constants[id(leaf)] = len(self.constants)
            self.constants.append(leaf)
        return Constant(self._constants[id(leaf)])


def _line_of_the_model() -> str:
    """The innermost running line outside torch and this package."""
    for frame, line in traceback.walk_stack(None):
        if not frame.f_code.co_filename.startswith(OURS):
            return f" ({Path(frame.f_code.co_filename).name}, line {line})"
    return ""


class _WithoutGradient:
    """An operation that ran under ``no_grad``, and is replayed under it."""

    def __init__(self, func: Any) -> None:
        self._func = func
        self.__name__ = str(getattr(func, "__name__", func))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return self._func(*args, **kwargs)


def _counts(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], slots: Mapping[int, int]) -> bool:
    """Whether integers or booleans that depend on the weights say how many elements the result has."""
    if name == "repeat_interleave":
        return any(id(leaf) in slots and not leaf.is_floating_point() for leaf in _tensors((args, kwargs)))
    classes = args[1] if len(args) > 1 else kwargs.get("num_classes", -1)
    return (name == "where" and len(args) == 1) or (name == "one_hot" and classes == -1)


def _chooses(name: str, args: Sequence[Any], slots: Mapping[int, int]) -> bool:
    """Whether booleans that depend on the weights index a tensor."""
    if name not in ("__getitem__", "__setitem__") or len(args) < 2:
        return False
    return any(id(leaf) in slots and leaf.dtype == torch.bool for leaf in _tensors(args[1]))


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
