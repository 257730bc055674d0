"""Tracing a forward pass by channels: the cells of each tensor, and of the indices of each parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

from torch_synflow._torch.function_modes import FunctionMode
from torch_synflow._torch.pytree import tree_leaves
from torch_synflow.compact.cells import CONSTANT, INPUT, ZERO, Cells
from torch_synflow.compact.held import Heads, Held
from torch_synflow.compact.nodes import Derivation, Pointwise, Sink, Sum

#: reads of a tensor's values by Python code, which no graph shows
_READ = ("item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "__contains__")
_ZEROS = ("zeros", "zeros_like", "new_zeros")


@dataclass(frozen=True)
class Operation:
    """One operation of the forward pass and its results."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    def get(self, place: int, name: str, default: Any = None) -> Any:
        """An argument by its place or its name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def tensors(self) -> Iterator[Tensor]:
        """All tensors among the arguments."""
        yield from (leaf for leaf in tree_leaves((self.args, self.kwargs)) if isinstance(leaf, Tensor))


Rule = Callable[["Tracer", Operation], bool]


def operation_in(name: str, module: str) -> str:
    """An operation and where it runs, in words."""
    return f"{name} in {module or 'the model'}"


def narrowed(cells: Tensor) -> Tensor:
    """Cells with one index for each axis along which they are the same."""
    for axis, size in enumerate(cells.shape):
        if size > 1 and (cells.stride(axis) == 0 or bool((cells == cells.narrow(axis, 0, 1)).all())):
            cells = cells.narrow(axis, 0, 1)
    return cells


class Tracer(FunctionMode):
    """The mode that finds the cells of a model while it runs.

    Attributes:
        cells: of all tensors.
        held: parameters and buffers by identity.
        module: the name of the innermost module that runs.
        touched: for each operation in turn: what it is, and the cells that it read or made.
        paused: whether operations run without being traced.
        heads: attributes of modules that count heads: module, attribute, and the cells of each head.
        attentions: the calls of ``nn.MultiheadAttention``.
        whole: modules that are not followed inside, and why.
    """

    def __init__(self, cells: Cells, held: dict[int, Held], rules: dict[str, Rule]) -> None:
        super().__init__()
        self.cells, self.held, self.rules = cells, held, rules
        self.modules: list[tuple[str, nn.Module]] = []
        self.touched: list[tuple[str, list[Tensor]]] = []
        self.heads: list[tuple[str, str, Tensor]] = []
        self.attentions: list[Heads] = []
        self.whole: dict[str, str] = {}
        self.paused = False
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def module(self) -> str:
        """The name of the innermost module that runs."""
        return self.modules[-1][0] if self.modules else ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, then find the cells of its results."""
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "?")
        touched: list[Tensor] = []
        self.touched.append((operation_in(name, self.module), touched))
        before = {id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **kwargs)
        call = Operation(name, tuple(args), kwargs, result)
        results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if not results and name not in (*_READ, "__setitem__"):
            return result  # a size, a type
        if name == "__get__" and all(id(leaf) in before for leaf in results):
            return result
        bare = name if name.startswith("__") else name.rstrip("_")
        rule = self.rules.get(bare)
        if rule is None or not args or not rule(self, call):
            self.give_up(call, results)
        tensors = [leaf for leaf in (*call.tensors(), *results) if id(leaf) in self._known]
        touched += [self._known[id(leaf)][1].reshape(-1) for leaf in tensors]
        return result

    def give_up(self, call: Operation, results: list[Tensor] | None = None) -> None:
        """Keep all channels that an operation reads, because its effect on them is unknown."""
        moving = False
        for tensor in call.tensors():
            if id(tensor) in self.held and id(tensor) not in self._known:
                held = self.held[id(tensor)]
                held.axes.setdefault(-1, torch.tensor([INPUT]))  # mark it as read whole
                continue
            cells = self.of(tensor)
            moving |= bool((cells != CONSTANT).any() and (cells != ZERO).any())
            self.sink(cells, operation_in(call.name, self.module))
        if results is None:
            results = [leaf for leaf in tree_leaves(call.result) if isinstance(leaf, Tensor)]
        zero = call.name in _ZEROS and not moving
        for leaf in results:
            self.put(leaf, torch.tensor(INPUT if moving else ZERO if zero else CONSTANT))
        if (call.name.endswith("_") or call.name == "__setitem__") and isinstance(call.args[0], Tensor):
            self.put(call.args[0], torch.tensor(INPUT if moving else CONSTANT))

    def sink(self, cells: Tensor, reason: str) -> None:
        """Keep channels, because an unknown operation reads them."""
        flat = cells.reshape(-1).unique()
        if int(flat.max()) > ZERO:
            self.cells.nodes.append(Sink(flat))
            self.cells.pin(flat, reason)

    def put(self, tensor: Tensor, cells: Tensor) -> None:
        """Note the cells of a tensor, with as many axes as it has and one index where all are the same."""
        while cells.dim() < tensor.dim():
            cells = cells[None]
        self._known[id(tensor)] = tensor, cells

    def of(self, tensor: Tensor) -> Tensor:
        """The cells of a tensor."""
        self.check(tensor)
        if id(tensor) in self._known:
            return self._known[id(tensor)][1]
        held = self.held.get(id(tensor))
        if held is not None and held.trained:
            return self._elements(held)
        return torch.full((1,) * tensor.dim(), CONSTANT)

    def check(self, tensor: Tensor) -> None:
        """Raise if no operation of torch made a tensor, because a custom operation defines its own gradient."""
        unseen = tensor.grad_fn is not None and id(tensor) not in self._known
        if unseen or isinstance(tensor.grad_fn, BackwardCFunction):
            raise ValueError(
                f"{self.module or 'model'}: expected operations of torch between its layers, got a tensor that "
                f"{type(tensor.grad_fn).__name__} made, a custom operation; shrink cannot follow channels through it"
            )

    def _elements(self, held: Held) -> Tensor:
        if held.elements is None:
            held.elements = self.cells.new(held.tensor.numel()).view(held.tensor.shape)
            self.cells.always_zero(held.elements[~held.kept])
        return held.elements

    def index_of(self, tensor: Any, axis: int, cells: Tensor) -> Held | None:
        """Note that the indices of one axis of a parameter or buffer belong to cells; ``None`` if it is not held."""
        held = self.held.get(id(tensor))
        if held is not None:
            if axis in held.axes:
                self.cells.tie(held.axes[axis], cells)
            else:
                held.axes[axis] = cells
        return held

    def pointwise(
        self, cells: Tensor, *, keeps_zero: bool | Tensor = True, blocks: bool = False, even: bool = False
    ) -> Tensor:
        """New cells of a function of each element."""
        distinct, inverse = cells.unique(return_inverse=True)
        kept = torch.as_tensor(keeps_zero)
        if kept.dim():
            distinct, inverse = cells.reshape(-1), torch.arange(cells.numel()).view(cells.shape)
        target = self.cells.new(len(distinct))
        self.add(Pointwise(distinct, target, kept, blocks, even))
        self.cells.tie(distinct, target)
        return target[inverse]

    def add(self, node: Derivation) -> None:
        """Append a node."""
        self.cells.nodes.append(node)

    def together(self, cells: Tensor, axes: list[int]) -> None:
        """Make cells along axes removable only together, so that these axes keep their sizes."""
        if axes:
            rows = cells.movedim(axes, list(range(-len(axes), 0))).flatten(-len(axes))
            self.cells.tie(rows, rows[..., :1])

    def uniform(self, cells: Tensor, axes: tuple[int, ...]) -> Tensor | None:
        """Cells that are the same along axes, merged where they are not; ``None`` if they lie along these alone."""
        axes = tuple(axis % cells.dim() for axis in axes) if cells.dim() else ()
        if all(cells.shape[axis] == 1 for axis in axes):
            return cells
        rest = [axis for axis in range(cells.dim()) if axis not in axes]
        if all(cells.shape[axis] == 1 for axis in rest):
            return None
        rows = cells.permute(*axes, *rest).reshape(-1, *(cells.shape[axis] for axis in rest))
        shape = [1 if axis in axes else size for axis, size in enumerate(cells.shape)]
        flat = rows.reshape(len(rows), -1).unique(dim=0)
        target = self.cells.new(flat.shape[1])
        self.add(Sum(flat, target, apart=True))
        self.cells.tie(flat, target)
        return target.view(shape)
