"""Weights that are gathered one at a time when a pass uses them, and released until the backward pass needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow._torch.functions import run_unseen
from torch_synflow.model.layout import Layout, is_sharded
from torch_synflow.model.parameters import held_parameters
from torch_synflow.parallel.ranks.exchange import greatest
from torch_synflow.parallel.ranks.meeting import Meeting
from torch_synflow.scoring.precision import wider
from torch_synflow.scoring.task import Weights


class _Gathered(torch.autograd.Function):
    """A whole weight of the parts of all ranks.

    Every rank computes the same of it, so the gradient of a part is the part of the gradient.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, gather: Callable[[Tensor], Tensor], layout: Layout) -> Tensor:
        ctx.held = gather, layout
        return gather(part)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return run_unseen(_Part, gradient, *ctx.held), None, None


class _Part(torch.autograd.Function):
    """The part of this rank; its gradient is made of those of all, as each rank has a part of what follows."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, gather: Callable[[Tensor], Tensor], layout: Layout) -> Tensor:
        ctx.held = gather, layout
        return layout.part(whole).clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return run_unseen(_Gathered, gradient, *ctx.held), None, None


class _AtUse(dict[str, Any]):
    """The parameters of a module; sharded ones are gathered when they are read."""

    def __init__(self, held: Mapping[str, Any], gathered: Mapping[str, Callable[[], Tensor]]) -> None:
        super().__init__(held)
        self._gathered = gathered

    def __contains__(self, name: object) -> bool:
        return name in self._gathered or super().__contains__(name)

    def __getitem__(self, name: str) -> Any:
        return self._gathered[name]() if name in self._gathered else super().__getitem__(name)


class ShardedWeights:
    """The sharded parameters of a model: how they are laid out, and the model's forward on parts of them.

    Args:
        model: without its wrapper.
        meeting: the ranks, ``None`` for a mesh of one.

    Attributes:
        layouts: of the sharded parameters, by their qualified names; of tied ones the first.
    """

    def __init__(self, model: nn.Module, meeting: Meeting | None) -> None:
        self._meeting = meeting
        self.layouts: dict[str, Layout] = {}
        self._names: dict[tuple[nn.Module, str], str] = {}
        self._parts: Weights = {}
        self._gathered: dict[StorageWeakRef, Callable[[], Tensor]] = {}
        first: dict[int, str] = {}
        for module, name, key, parameter in held_parameters(model):
            if is_sharded(parameter):
                key = first.setdefault(id(parameter), key)
                self.layouts[key] = Layout.of(parameter)
                self._names[module, name] = key

    def zero_throughout(self, parts: Weights) -> set[str]:
        """The names of the tensors that are all zero on all ranks."""
        found = torch.stack([(part != 0).any().to(torch.int64) for part in parts.values()])
        if self._meeting is not None:
            greatest(self._meeting, [found])
        return {name for name, some in zip(parts, found.tolist(), strict=True) if not some}

    def gather(self, layout: Layout, part: Tensor) -> Tensor:
        """The whole of the parts of all ranks."""
        try:
            with torch.no_grad():
                return layout.whole(part.detach())
        except (RuntimeError, OSError) as error:
            if self._meeting is None:
                raise
            raise self._meeting.lost(error) from error

    def leaves(self, parts: Weights, floor: torch.dtype) -> Weights:
        """Leaves of a new autograd graph that stand for parts, at least as wide as ``floor``, and take no memory.

        The parts are read where weights are gathered, which alone are as wide. A tensor that is whole on every rank is
        its own leaf.
        """
        self._parts = parts

        def leaf(part: Tensor, *, stands: bool) -> Tensor:
            dtype = wider(part, floor)
            made = torch.zeros((), dtype=dtype, device=part.device).expand(part.shape) if stands else part.to(dtype)
            return made.detach().requires_grad_()

        return {name: leaf(part, stands=name in self.layouts) for name, part in parts.items()}

    def _kept(self, gather: Callable[[], Tensor]) -> Tensor:
        """A whole weight, and how it is gathered remembered as long as its memory is there."""
        made = gather()
        for gone in [storage for storage in self._gathered if storage.expired()]:
            del self._gathered[gone]
        self._gathered[StorageWeakRef(made.untyped_storage())] = gather
        return made

    def pack(self, tensor: Tensor) -> Any:
        """What autograd saves for a tensor; for a whole weight or its view, how to gather it again."""
        gather = self._gathered.get(StorageWeakRef(tensor.untyped_storage()))
        return tensor if gather is None else (gather, tensor.shape, tensor.stride(), tensor.storage_offset())

    def unpack(self, packed: Any) -> Tensor:
        """The tensor that :meth:`pack` was given."""
        if isinstance(packed, Tensor):
            return packed
        gather, shape, stride, offset = packed
        return self._kept(gather).as_strided(shape, stride, offset)

    def call(self, model: nn.Module, state: Weights, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The model's outputs, with ``state`` in place of its parameters and buffers: parts of those that are sharded.

        What FSDP2 and tensor parallelism do before and after a module is left out, and masks, which the parts have.
        """

        def whole(key: str) -> Tensor:
            leaf, layout = state[key], self.layouts[key]

            def gather(part: Tensor) -> Tensor:
                held = self._parts.get(key, leaf) if part is leaf else part
                return self._kept(lambda: self.gather(layout, held).to(leaf.dtype))

            made: Tensor = run_unseen(_Gathered, leaf, gather, layout)
            made.__dict__.update(leaf.__dict__)  # what a surrogate has marked it with
            return made

        before = [(module, dict(module.__dict__)) for module in model.modules()]
        plain = {name: tensor for name, tensor in state.items() if name not in self.layouts}
        try:
            for module in model.modules():
                self._open(module, whole)
            return functional_call(model, plain, args, kwargs)
        finally:
            for module, attributes in before:
                module.__dict__.clear()
                module.__dict__.update(attributes)

    def _open(self, module: nn.Module, whole: Callable[[str], Tensor]) -> None:
        """Let a module gather its parameters where it reads them, and nothing else."""
        gathered: dict[str, Callable[[], Tensor]] = {}
        for name, parameter in list(module._parameters.items()):
            bare = name.removesuffix("_orig") if name.removesuffix("_orig") + "_mask" in module._buffers else name
            if is_sharded(parameter):
                gathered[bare] = gathered[name] = lambda key=self._names[module, bare]: whole(key)  # type: ignore[misc]
                if bare != name:
                    module.__dict__.pop(bare, None)
        held = module.__dict__
        if gathered:
            held["_parameters"] = _AtUse(module._parameters, gathered)
        for hooks in ("_forward_pre_hooks", "_forward_hooks"):
            held[hooks] = type(held[hooks])(
                (number, hook) for number, hook in held[hooks].items() if not _distributes(hook, gathered)
            )


def _distributes(hook: Any, gathered: Mapping[str, Any]) -> bool:
    """Whether a hook is one of FSDP2 or of tensor parallelism, or multiplies a sharded weight by its mask."""
    if isinstance(hook, BasePruningMethod):
        return getattr(hook, "_tensor_name", None) in gathered
    return str(getattr(hook, "__module__", "")).startswith("torch.distributed.")
