"""Lightning under the one of its two names that is installed and in use."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer

__all__ = ["Callback", "LightningModule", "ProcessLauncher", "Trainer", "rank_zero_info"]

NAMES = ("lightning.pytorch", "pytorch_lightning")


def _name() -> str:
    """The name that the program has already imported, or else one that is installed."""
    imported = [name for name in NAMES if name in sys.modules]
    installed = [name for name in NAMES if find_spec(name.partition(".")[0]) is not None]
    for name in [*imported, *installed]:
        return name
    raise ImportError('PruneAtInit needs Lightning, which is not installed: pip install "torch_synflow[lightning]"')


def part(name: str) -> ModuleType:
    """A module of Lightning, by its name in the package."""
    return importlib.import_module(f"{NAME}{name}")


NAME = _name()
if not TYPE_CHECKING:
    Callback, LightningModule, Trainer = (
        getattr(part(""), each) for each in ("Callback", "LightningModule", "Trainer")
    )

rank_zero_info: Any = part(".utilities.rank_zero").rank_zero_info
#: the launcher of ``ddp_spawn``, ``ddp_fork`` and ``ddp_notebook``, whose processes end with ``fit``
ProcessLauncher: Any = part(".strategies.launchers")._MultiProcessingLauncher
