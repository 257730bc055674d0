"""Attention has a second derivative where it is asked for, and encoder layers call it where that is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow._torch.attention import call_in_encoder_layers, with_second_derivatives


def test_attention_is_differentiated_twice() -> None:
    query = torch.rand(1, 2, 5, 8, requires_grad=True)
    with with_second_derivatives():
        value = F.scaled_dot_product_attention(query, query, query).square().sum()
    (gradient,) = torch.autograd.grad(value, query, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), query)
    assert bool(second.isfinite().all()), "see torch_synflow/_torch/attention.py"
    assert bool(second.any()), "see torch_synflow/_torch/attention.py"


class _Own(nn.MultiheadAttention):
    def forward(self, query: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        return -query, None


@pytest.mark.parametrize("asked", [False, True])
def test_an_encoder_layer_calls_an_attention_of_its_own_code_if_asked_to(asked: bool) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    layer.self_attn = _Own(8, 2, batch_first=True)
    if asked:
        call_in_encoder_layers(layer.self_attn)
    x = torch.rand(3, 5, 8)
    with torch.no_grad():
        called = layer.norm2(layer.norm1(x - x) + layer.linear2(layer.linear1(layer.norm1(x - x)).relu()))
        assert torch.allclose(layer(x), called) is asked, "see torch_synflow/_torch/attention.py"
