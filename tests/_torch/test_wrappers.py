"""The wrappers of ``torch.func`` come off."""

from __future__ import annotations

import torch
from torch import Tensor

from torch_synflow._torch.wrappers import unwrapped

WHERE = "see torch_synflow/_torch/wrappers.py"


def test_the_tensor_inside_two_transforms_can_be_read() -> None:
    inside: list[Tensor] = []

    def function(x: Tensor) -> Tensor:
        inside.append(x)
        return (x * x).sum()

    torch.func.grad(lambda x: torch.func.grad(function)(x).sum())(torch.tensor([2.0, 3.0]))
    assert "GradTracking" in repr(inside[0]), f"torch.func does not wrap tensors any more; {WHERE}"
    plain = unwrapped(inside[0])
    assert "GradTracking" not in repr(plain), f"functorch's bindings do not take its wrappers off any more; {WHERE}"
    assert plain.tolist() == [2, 3], f"a tensor without its wrappers has other values; {WHERE}"


def test_a_tensor_without_wrappers_is_returned_itself() -> None:
    x = torch.ones(2, requires_grad=True)
    assert unwrapped(x) is x
