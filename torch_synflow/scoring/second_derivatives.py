"""Operations that torch differentiates only once, run as operations with a second derivative."""

from __future__ import annotations

import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_synflow._torch.attention import with_second_derivatives
from torch_synflow._torch.function_modes import FunctionMode

#: torch's message about an operation whose derivative it cannot differentiate
_REFUSED = re.compile(
    r"derivative for '?(?:aten::)?_?(\w+?)(?:_backward)?'? is not implemented|double backwards on (\w+) not supported"
)


class TwiceDifferentiable(FunctionMode):
    """A mode with plain steps for attention, ``hardsigmoid`` and ``normalize``, of the same values up to rounding.

    The norm of a zero vector has no second derivative, although ``normalize`` divides it by a constant.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``, or an equivalent with a second derivative."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ("scaled_dot_product_attention", "multi_head_attention_forward"):
            with with_second_derivatives():
                return func(*args, **kwargs)
        if name in ("hardsigmoid", "hardsigmoid_"):
            x = args[0] if args else kwargs["input"]
            value: Tensor = F.relu6(x + 3) / 6
            in_place = name.endswith("_") or (args[1] if len(args) > 1 else kwargs.get("inplace", False))
            return x.copy_(value) if in_place else value
        if name == "normalize" and kwargs.get("out") is None:
            return _normalized(*args, **kwargs)
        return func(*args, **kwargs)


def _normalized(input: Tensor, p: float = 2, dim: Any = 1, eps: float = 1e-12, out: None = None) -> Tensor:  # noqa: A002
    """Vectors over their norm, or over ``eps`` if that is larger."""
    if p != 2:
        return F.normalize(input, p, dim, eps)
    squares = input.square().sum(dim, keepdim=True)
    return input / torch.where(squares > eps**2, squares, eps**2).sqrt()


def without_second_derivative(error: RuntimeError) -> ValueError | None:
    """The error that names an operation without a second derivative in torch, if that is the cause."""
    found = _REFUSED.search(str(error))
    if found is None:
        return None
    return ValueError(
        "loss_fn: expected a loss with a second derivative, which GraSP needs, got one with the operation "
        f"{found[1] or found[2]!r}, for which torch has none; use an operation with a second derivative in the model "
        "or the loss, or use prune.SNIP"
    )
