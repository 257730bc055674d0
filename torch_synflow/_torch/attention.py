"""Attention in plain steps: which of its implementations torch takes is asked for in other ways in older versions."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch


def with_second_derivatives() -> AbstractContextManager[Any]:
    """Within it ``scaled_dot_product_attention`` runs in steps that are differentiated as often as one likes."""
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:
        older: Any = torch.backends.cuda
        return older.sdp_kernel(enable_flash=False, enable_math=True, enable_mem_efficient=False)  # type: ignore[no-any-return]
    return sdpa_kernel(SDPBackend.MATH)
