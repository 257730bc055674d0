"""A callback for Lightning that prunes at initialisation, or at a later step.

It needs Lightning (``pip install "torch_synflow[lightning]"``), which is imported with the callback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch_synflow.lightning.callback import PruneAtInit

__all__ = ["PruneAtInit"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from torch_synflow.lightning import callback

    return getattr(callback, name)


def __dir__() -> list[str]:
    return sorted(__all__)
