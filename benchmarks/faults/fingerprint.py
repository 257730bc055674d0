"""Everything of a model that a failed call or a read must not change."""

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


def _memory(tensor: Tensor) -> int | None:
    try:
        return tensor.data_ptr()
    except RuntimeError:  # of a wrapper that torch.func has left behind
        return None


class _Reader:
    """Reads values; by identity, or by type where models that were built apart are compared."""

    def __init__(self, *, identities: bool, versions: bool) -> None:
        self.same = Same if identities else lambda value: type(value).__name__
        self.identities, self.versions = identities, versions

    def tensor(self, tensor: Tensor) -> dict[str, Any]:
        grad = tensor.grad if tensor.is_leaf else None
        return {
            "object": self.same(tensor),
            "bits": bits(tensor),
            "layout": (tensor.dtype, tensor.device, tensor.shape, tensor.stride()),
            "memory": _memory(tensor) if self.identities else None,
            "version": tensor._version if self.versions else None,
            "requires_grad": tensor.requires_grad,
            "grad": (self.same(grad), None if grad is None else bits(grad)),
            "grad_fn": self.same(tensor.grad_fn),
            "hooks": [self.same(hook) for hook in (getattr(tensor, "_backward_hooks", None) or {}).values()],
            "attributes": [(key, self.same(value)) for key, value in vars(tensor).items()],
        }

    def value(self, value: object) -> object:
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, dict):
            keys = list(value) if self.identities else [key if isinstance(key, str) else 0 for key in value]
            return self.same(value), [(key, self.value(item)) for key, item in zip(keys, value.values(), strict=True)]
        if isinstance(value, (list, tuple)):
            return self.same(value), [self.value(item) for item in value]
        if isinstance(value, set):
            return self.same(value), set(value)
        if isinstance(value, torch_prune.BasePruningMethod):
            return self.same(value), [(key, self.value(item)) for key, item in vars(value).items()]
        return repr(value) if isinstance(value, (bool, int, float, str)) else self.same(value)


def fingerprint(model: nn.Module, *others: object, identities: bool = True, versions: bool = True) -> dict[str, Any]:
    """Everything that a failed call or a read must not change, comparable with ``==``.

    Of every module: its identity, each attribute in order (so the training flag, parameters, buffers, hooks of
    all kinds with the state of pruning hooks, submodules, plain attributes), of every tensor its identity, bits,
    memory, gradient, ``requires_grad``, hooks, attributes and version (in-place writes); and torch's random state.

    Args:
        model: the model.
        others: what else is to stay: tensors, or containers of them.
        identities: whether objects are compared by identity. Without, two models that were built apart are equal
            where they hold the same values in the same structure.
        versions: whether a tensor that was written to and written back counts as changed.
    """
    reader = _Reader(identities=identities, versions=versions and identities)
    found: dict[str, Any] = {
        path: (reader.same(module), [(key, reader.value(value)) for key, value in vars(module).items()])
        for path, module in model.named_modules()
    }
    found["what the call was given"] = [reader.value(other) for other in others]
    found["random state"] = bits(torch.get_rng_state())
    return found


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """Where two fingerprints differ, in words."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict) and list(before) == list(after):
        return [text for key in before for text in differences(before[key], after[key], f"{where} {key}".strip())]
    if type(before) is type(after) and isinstance(before, (list, tuple)) and len(before) == len(after):
        named = all(isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in before)
        texts = []
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            if named and old[0] == new[0]:
                texts += differences(old[1], new[1], f"{where}.{old[0]}")
            else:
                texts += differences(old, new, where if isinstance(before, tuple) else f"{where}[{index}]")
        return texts
    if isinstance(before, bytes) and isinstance(after, bytes):
        return [f"{where}: other bits"]
    shown = [text if len(text) < 60 else f"{text[:60]}..." for text in (repr(before), repr(after))]
    return [f"{where}: {shown[0]} became {shown[1]}"]
