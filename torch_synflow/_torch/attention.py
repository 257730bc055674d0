"""Attention in plain steps, and out of the steps that torch's encoder layers take by themselves."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn


def with_second_derivatives() -> AbstractContextManager[Any]:
    """A context in which ``scaled_dot_product_attention`` runs in steps that have derivatives of any order."""
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:
        older: Any = torch.backends.cuda
        return older.sdp_kernel(enable_flash=False, enable_math=True, enable_mem_efficient=False)  # type: ignore[no-any-return]
    return sdpa_kernel(SDPBackend.MATH)


def call_in_encoder_layers(attention: nn.MultiheadAttention) -> None:
    """Make ``nn.TransformerEncoderLayer`` call an attention with its own ``forward``, and not read its parameters."""
    attention._qkv_same_embed_dim = False
