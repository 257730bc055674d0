"""Masks on parameters that are sharded over processes (``DTensor``)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod, CustomFromMask

from torch_synflow.model.layout import Layout, is_sharded


class ShardedFromMask(CustomFromMask):
    """The hook of a mask that is sharded like its parameter.

    FSDP2 gives a module its whole parameters while it runs. The mask is then gathered too, with one byte per element.
    """

    def apply_mask(self, module: nn.Module) -> Tensor:
        """The product of parameter and mask: of parts, or of whole tensors where FSDP2 has gathered the parameter."""
        name: str = self._tensor_name
        mask: Any = getattr(module, f"{name}_mask")
        original: Any = getattr(module, f"{name}_orig")
        if not is_sharded(mask) or (is_sharded(original) and Layout.of(original) == Layout.of(mask)):
            return mask.to(original.dtype) * original  # type: ignore[no-any-return]
        with torch.no_grad():
            whole = Layout.of(mask).whole(mask.to_local().to(torch.uint8)).to(original.dtype)
            if is_sharded(original):  # over the mesh of tensor parallelism alone
                layout = Layout.of(original)
                whole = layout.dtensor(layout.part(whole))
        return whole * original  # type: ignore[no-any-return]

    def remove(self, module: nn.Module) -> None:
        """Raise an error, because FSDP2 must learn the parameter's name, which a module alone cannot provide."""
        raise ValueError(
            f"{self._tensor_name}: expected a whole parameter, got a sharded one; make pruning permanent with "
            "torch_synflow.prune.remove_all(model)"
        )


def custom_from_sharded_mask(module: nn.Module, name: str, mask: Tensor) -> None:
    """Torch's ``custom_from_mask`` for a sharded parameter and a mask that tightens an existing one."""
    hooks = module._forward_pre_hooks
    own = [
        number
        for number, hook in hooks.items()
        if isinstance(hook, BasePruningMethod) and getattr(hook, "_tensor_name", None) == name
    ]
    if not own:
        ShardedFromMask.apply(module, name, mask)  # type: ignore[no-untyped-call]
    elif not isinstance(hooks[own[0]], ShardedFromMask):  # of before the model was sharded
        hook = ShardedFromMask(mask)
        hook._tensor_name = name
        hooks[own[0]] = hook
    for other in hooks.values():
        if isinstance(other, ShardedFromMask) and other._tensor_name == name:
            other.mask = None  # the buffer has it
