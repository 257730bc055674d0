"""Attention has a second derivative where it is asked for."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from torch_synflow._torch.attention import with_second_derivatives


def test_attention_is_differentiated_twice() -> None:
    query = torch.rand(1, 2, 5, 8, requires_grad=True)
    with with_second_derivatives():
        value = F.scaled_dot_product_attention(query, query, query).square().sum()
    (gradient,) = torch.autograd.grad(value, query, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), query)
    assert bool(second.isfinite().all()), "see torch_synflow/_torch/attention.py"
    assert bool(second.any()), "see torch_synflow/_torch/attention.py"
