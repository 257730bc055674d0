"""Hooks on ``load_state_dict``, public since torch 2.5 and private before; their list has no public name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

#: called with the module, the state, the prefix of its names, and the other arguments of ``load_state_dict``
BeforeLoading = Callable[..., None]


def before_loading(module: nn.Module, hook: BeforeLoading) -> RemovableHandle:
    """Make ``hook`` run before a state is loaded into ``module``, and therefore before its submodules."""
    register: Any = getattr(module, "register_load_state_dict_pre_hook", None)
    if register is not None:
        return register(hook)  # type: ignore[no-any-return]
    old: Any = module._register_load_state_dict_pre_hook
    return old(hook, with_module=True)  # type: ignore[no-any-return]


def runs_before_loading(module: nn.Module, hook: BeforeLoading) -> bool:
    """Whether ``hook`` is registered."""
    return any(getattr(each, "hook", each) is hook for each in module._load_state_dict_pre_hooks.values())
