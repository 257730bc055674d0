"""The hooks on ``load_state_dict``, whose list has no public name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def runs_before_loading(module: nn.Module, hook: Callable[..., None]) -> bool:
    """Whether ``hook`` is registered."""
    return any(getattr(each, "hook", each) is hook for each in module._load_state_dict_pre_hooks.values())
