"""What ``FullyShardedDataParallel`` (FSDP1) makes of a model: flat parameters, of which a rank holds a part."""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor, nn


def is_flat_shard(parameter: Tensor) -> bool:
    """Whether FSDP1 has flattened a parameter: what a rank then has of it may be a part, without its shape."""
    common: Any = sys.modules.get("torch.distributed.fsdp._common_utils")  # not imported for those who do not use it
    return common is not None and bool(common._is_fsdp_flattened(parameter))


def wrapped_in_fsdp1(model: nn.Module) -> str | None:
    """The name of the first module of a model that FSDP1 wraps, empty for the model itself, ``None`` without one."""
    fsdp: Any = sys.modules.get("torch.distributed.fsdp")
    if fsdp is None:
        return None
    wrapped = (name for name, module in model.named_modules() if isinstance(module, fsdp.FullyShardedDataParallel))
    return next(wrapped, None)
