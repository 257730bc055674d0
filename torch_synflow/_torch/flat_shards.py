"""The flat parameters of ``FullyShardedDataParallel`` (FSDP1); each rank holds a part of them."""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor, nn


def is_flat_shard(parameter: Tensor) -> bool:
    """Whether FSDP1 has flattened a parameter. A rank may then hold only a part of it, without its shape."""
    common: Any = sys.modules.get("torch.distributed.fsdp._common_utils")  # not imported unless the user uses it
    return common is not None and bool(common._is_fsdp_flattened(parameter))


def wrapped_in_fsdp1(model: nn.Module) -> str | None:
    """The name of the first module that FSDP1 wraps; empty for the model itself, ``None`` if there is none."""
    fsdp: Any = sys.modules.get("torch.distributed.fsdp")
    if fsdp is None:
        return None
    wrapped = (name for name, module in model.named_modules() if isinstance(module, fsdp.FullyShardedDataParallel))
    return next(wrapped, None)
