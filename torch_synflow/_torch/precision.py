"""How torch multiplies float32, for which its settings have changed and may not be mixed."""

from __future__ import annotations

from typing import Any

import torch


def float32_is_precise() -> bool:
    """Whether float32 is multiplied as such, and not in bfloat16 or TF32, as far as torch says."""
    backends: Any = torch.backends
    if not hasattr(backends, "fp32_precision"):  # torch 2.8 and before
        return torch.get_float32_matmul_precision() == "highest"
    # that function raises where this newer setting has been used
    return all(backend.matmul.fp32_precision in ("none", "ieee") for backend in (backends.cuda, backends.mkldnn))
