"""The precision of float32 products in torch, whose settings have changed and must not be mixed."""

from __future__ import annotations

from typing import Any

import torch


def float32_is_precise() -> bool:
    """Whether torch multiplies float32 in full precision, rather than in bfloat16 or TF32."""
    backends: Any = torch.backends
    if not hasattr(backends, "fp32_precision"):  # torch 2.8 and earlier
        return torch.get_float32_matmul_precision() == "highest"
    # that function raises if this newer setting has been used
    return all(backend.matmul.fp32_precision in ("none", "ieee") for backend in (backends.cuda, backends.mkldnn))
