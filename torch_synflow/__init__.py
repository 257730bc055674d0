"""Pruning at initialisation as a drop-in extension of :mod:`torch.nn.utils.prune`."""

from torch_synflow import ablations, diagnostics, flow, parallel, prune, rewinding, schedules, scoring
from torch_synflow._version import __version__
from torch_synflow.prune import SNIP, GraSP, SynFlow

__all__ = [
    "SNIP",
    "GraSP",
    "SynFlow",
    "__version__",
    "ablations",
    "diagnostics",
    "flow",
    "parallel",
    "prune",
    "rewinding",
    "schedules",
    "scoring",
]


def __dir__() -> list[str]:
    return sorted(__all__)
