"""The wrappers that ``torch.func`` puts around tensors, by functorch's bindings, which are private."""

from __future__ import annotations

from torch import Tensor
from torch._C import _functorch


def unwrapped(tensor: Tensor) -> Tensor:
    """The tensor inside the wrappers of ``torch.func.grad`` and ``torch.func.vjp``."""
    while _functorch.is_gradtrackingtensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    return tensor
