"""The active transforms of ``torch.func``, by functorch's private bindings."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch._C import _functorch


def active_transforms() -> int:
    """The number of transforms, such as ``torch.vmap`` and ``torch.func.grad``, around the running code."""
    top = _functorch.peek_interpreter_stack()
    return 0 if top is None else int(top.level())


def depends_on_leaves(value: Any) -> bool:
    """Whether a tensor, or a tensor that the active transforms wrap in it, has a gradient."""
    while isinstance(value, Tensor) and _functorch.is_functorch_wrapped_tensor(value):
        value = _functorch.get_unwrapped(value)
    return isinstance(value, Tensor) and value.requires_grad
