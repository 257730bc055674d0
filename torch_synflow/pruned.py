"""What is pruned of a model, whoever pruned it: by its masks, as ``torch.nn.utils.prune`` leaves them."""

from __future__ import annotations

from typing import Any

from torch import nn

from torch_synflow.parameters import Entry, Pair, held_parameters, prunable_parameters, resolve, unwrap
from torch_synflow.report import LayerReport, PruningReport


def pruned_parameters(model: nn.Module) -> list[Pair]:
    """The ``(module, name)`` pairs that have a mask, in the order of ``model.modules()``."""
    return [(module, name) for module, name, _, _ in held_parameters(model) if f"{name}_mask" in module._buffers]


def entries_of(model: nn.Module, parameters: Any = None) -> list[Entry]:
    """The checked entries of ``parameters``; by default all prunable weights, and whatever else has a mask."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    model = unwrap(model)
    if parameters is None:
        parameters = list(dict.fromkeys([*prunable_parameters(model), *pruned_parameters(model)]))
    return resolve(parameters, model)


def report_of(entries: list[Entry]) -> PruningReport:
    """What the masks keep of each entry."""
    return PruningReport(tuple(LayerReport(e.label, int(e.mask.sum()), e.total) for e in entries))
