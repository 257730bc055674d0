"""The names under which FSDP2 (``fully_shard``) swaps parameters on modules, which pruning changes.

FSDP2 remembers the module and the name of each parameter, and writes the gathered parameter there before a forward
pass.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn


def _places(modules: Iterable[nn.Module]) -> Iterator[Any]:
    """FSDP2's records of the parameters that it manages for some modules."""
    states = sys.modules.get("torch.distributed.fsdp._fully_shard._fsdp_state")
    if states is None:
        return
    for module in modules:
        state = states._get_module_fsdp_state(module)
        if state is None:
            continue
        groups = getattr(state, "_fsdp_param_groups", None)  # one group in older versions
        for group in [state._fsdp_param_group] if groups is None else groups:
            for parameter in () if group is None else group.fsdp_params:
                yield parameter._module_info


def follow_names(modules: Iterable[nn.Module]) -> None:
    """Make FSDP2 write each parameter to its current name in the modules, ``name`` or ``name_orig``."""
    for info in _places(modules):
        info.param_name = _held_as(info.module, info.param_name)
        shared = zip(info.shared_modules, info.shared_param_names, strict=True)
        info.shared_param_names[:] = [_held_as(module, name) for module, name in shared]


def managed_names(modules: Iterable[nn.Module]) -> set[tuple[nn.Module, str]]:
    """The modules and names to which FSDP2 writes the parameters that it manages for some modules."""
    found = set()
    for info in _places(modules):
        found.add((info.module, info.param_name))
        found.update(zip(info.shared_modules, info.shared_param_names, strict=True))
    return found


def _held_as(module: nn.Module, name: str) -> str:
    bare = name.removesuffix("_orig")
    return next((held for held in (name, bare, f"{bare}_orig") if held in module._parameters), name)


def is_managed(module: nn.Module) -> bool:
    """Whether ``fully_shard`` was called on a module or on one that contains it."""
    return bool(getattr(module, "_is_fsdp_managed_module", False))


def reshard(model: nn.Module | None) -> None:
    """Make FSDP2 modules hold their parameters as ``DTensor`` again, after a forward pass that left them whole."""
    loaded = sys.modules.get("torch.distributed.fsdp._fully_shard._fully_shard")
    if loaded is not None and model is not None:
        for module in model.modules():
            if isinstance(module, loaded.FSDPModule):
                module.reshard()
