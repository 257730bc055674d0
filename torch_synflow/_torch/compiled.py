"""Compiled modules, which keep their original module in an undocumented attribute."""

from __future__ import annotations

from torch import nn


def inside_compiled(module: nn.Module) -> nn.Module | None:
    """The module that ``torch.compile`` was given, ``None`` if ``module`` is not compiled."""
    inside = getattr(module, "_orig_mod", None)
    return inside if isinstance(inside, nn.Module) else None


def run_uncompiled(module: nn.Module) -> None:
    """Make a module that ``module.compile()`` compiled in place run its own code."""
    if "_compiled_call_impl" in vars(module):
        module._compiled_call_impl = None
