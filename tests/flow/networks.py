"""Networks with gates and attention, and operations that are not homogeneous."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """A block as in MobileNetV3 and EfficientNet."""

    def __init__(self, gate: Callable[[Tensor], Tensor], channels: int = 8) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, 4, 1)
        self.fc2 = nn.Conv2d(4, channels, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        scale = self.gate(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))
        return self.product(x, scale)

    def product(self, x: Tensor, scale: Tensor) -> Tensor:
        return scale * x


class Attention(nn.Module):
    """Self-attention in the ways that models write it."""

    def __init__(self, form: str, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.form, self.heads = form, heads
        if form == "module":
            self.inner = nn.MultiheadAttention(width, heads, batch_first=True)
        elif form == "separate":
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        else:
            self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "module":
            return self.proj(self.inner(x, x, x, need_weights=False)[0])
        batch, length, width = x.shape
        if self.form == "separate":
            qkv = [layer(x).view(batch, length, self.heads, -1).transpose(1, 2) for layer in (self.q, self.k, self.v)]
        else:
            qkv = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        query, key, value = qkv
        if self.form == "function":
            out = F.scaled_dot_product_attention(query, key, value)
        elif self.form == "einsum":
            rows = torch.softmax(torch.einsum("bhid,bhjd->bhij", query, key), -1)
            out = torch.einsum("bhij,bhjd->bhid", rows, value)
        else:
            rows = (query @ key.transpose(-2, -1) * 0.5).softmax(dim=-1)
            out = F.dropout(rows, 0.1, self.training) @ value
        return self.proj(out.transpose(1, 2).reshape(batch, length, width))


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return -2 * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -2 * gradient
