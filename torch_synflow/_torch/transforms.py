"""The transforms of ``torch.func`` that are at work, by functorch's bindings, which are private."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch._C import _functorch


def active_transforms() -> int:
    """How many transforms, such as ``torch.vmap`` and ``torch.func.grad``, the running code is within."""
    top = _functorch.peek_interpreter_stack()
    return 0 if top is None else int(top.level())


def depends_on_leaves(value: Any) -> bool:
    """Whether a tensor has a gradient, or what the transforms at work have wrapped it around."""
    while isinstance(value, Tensor) and _functorch.is_functorch_wrapped_tensor(value):
        value = _functorch.get_unwrapped(value)
    return isinstance(value, Tensor) and value.requires_grad
