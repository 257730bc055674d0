"""Attention in plain steps, selected in different ways by torch's versions."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch


def with_second_derivatives() -> AbstractContextManager[Any]:
    """A context in which ``scaled_dot_product_attention`` runs in steps that have derivatives of any order."""
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:
        older: Any = torch.backends.cuda
        return older.sdp_kernel(enable_flash=False, enable_math=True, enable_mem_efficient=False)  # type: ignore[no-any-return]
    return sdpa_kernel(SDPBackend.MATH)
