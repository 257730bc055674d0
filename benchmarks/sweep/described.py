"""Reports of the package as plain numbers."""

from __future__ import annotations

from typing import Any

from torch_synflow import diagnostics
from torch_synflow.prune import PruningReport


def shares(neurons: diagnostics.NeuronCollapse) -> list[float]:
    """The share of neurons that have at least 0, 1, ... 100 percent pruned."""
    return [round(neurons.at_least(percent / 100), 6) for percent in range(101)]


def described(report: PruningReport) -> dict[str, Any]:
    """A report as plain numbers."""
    layers = [[layer.name, layer.kept, layer.total] for layer in report.layers]
    return {"kept": report.kept, "total": report.total, "empty_layers": list(report.empty_layers), "layers": layers}
