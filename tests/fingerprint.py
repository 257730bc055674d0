"""Everything of a model that a failed call or a read must leave alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn


class Same:
    """An object that equals only itself, and lives as long as the comparison needs it."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self.value).__name__} at {id(self.value):#x}>"


def bits(tensor: Tensor) -> bytes:
    """The bits of ``tensor``'s values in logical order; ``-0.0`` and ``0.0`` differ, a NaN equals itself."""
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist())


def _tensor(tensor: Tensor) -> dict[str, Any]:
    grad = tensor.grad if tensor.is_leaf else None
    return {
        "object": Same(tensor),
        "bits": bits(tensor),
        "layout": (tensor.dtype, tensor.device, tensor.shape, tensor.stride(), tensor.data_ptr()),
        "version": tensor._version,
        "requires_grad": tensor.requires_grad,
        "grad": (Same(grad), None if grad is None else bits(grad)),
        "grad_fn": Same(tensor.grad_fn),
        "hooks": [Same(hook) for hook in (getattr(tensor, "_backward_hooks", None) or {}).values()],
    }


def _value(value: object) -> object:
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, dict):
        return Same(value), [(key, _value(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return Same(value), [_value(item) for item in value]
    if isinstance(value, set):
        return Same(value), set(value)
    if isinstance(value, torch_prune.BasePruningMethod):
        return Same(value), [(key, _value(item)) for key, item in vars(value).items()]
    return Same(value)


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """Everything that a failed call or a read must leave alone, comparable with ``==``.

    Of every module: its identity, each attribute in order (so the training flag, parameters, buffers, hooks of
    all kinds with the state of pruning hooks, submodules, plain attributes), of every tensor its identity, bits,
    memory, gradient, ``requires_grad``, hooks and version (in-place writes); and torch's random state.
    """
    found: dict[str, Any] = {
        path: (Same(module), [(key, _value(value)) for key, value in vars(module).items()])
        for path, module in model.named_modules()
    }
    found["random state"] = bits(torch.get_rng_state())
    return found
