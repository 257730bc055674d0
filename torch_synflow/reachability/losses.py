"""The inputs and outputs that pruning has cut off, by comparing paths under the new and the old masks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from torch_synflow.model.layout import is_sharded
from torch_synflow.model.parameters import Entry
from torch_synflow.reachability.reached import Reached, reach
from torch_synflow.scoring.data import first_inputs
from torch_synflow.scoring.task import Task

_log = logging.getLogger("torch_synflow")


@dataclass(frozen=True)
class Losses:
    """The paths of a model under new masks, compared with the paths before.

    Attributes:
        after: the paths under the new masks.
        cut_off: descriptions of the inputs and outputs that have lost all their paths.
    """

    after: Reached
    cut_off: tuple[str, ...]


def losses(task: Task, entries: Sequence[Entry], masks: Iterable[Tensor]) -> Losses | None:
    """Find the inputs and outputs that masks would cut off, before they are on the model.

    Args:
        task: the model, and its inputs or, without inputs, the first batch of a list or of what scoring has read.
        entries: the tensors, with their earlier masks.
        masks: the new ones.

    Returns:
        ``None`` if the model or its inputs are not known, or it does not run under the surrogate. The log says so.
    """
    model, inputs = task.model, task.example_inputs
    if inputs is None:
        inputs = first_inputs(task.data)
    if model is None or inputs is None:
        _log.info("paths are not checked after pruning, because there is no %s", "model" if model is None else "input")
        return None
    if any(is_sharded(entry.parameter) for entry in entries):
        _log.info("paths are not checked after pruning, because the parameters are sharded")
        return None
    pruned = [replace(entry, mask=mask.view_as(entry.mask)) for entry, mask in zip(entries, masks, strict=True)]
    device = entries[0].parameter.device
    try:
        # random numbers that a forward draws here do not come from the user's generators
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            after = reach(model, inputs, pruned, task.outputs, elements=False)
            whole = all(bool(output.all()) for output in after.outputs) and all(after.inputs.values())
            if whole:
                return Losses(after, ())
            before = reach(model, inputs, list(entries), task.outputs, elements=False)
            return Losses(after, tuple(_cut_off(before, after)))
    except Exception as error:  # code that cannot be traced does not prevent pruning
        _log.info("paths are not checked after pruning, because the check failed: %s: %s", type(error).__name__, error)
        return None


def _cut_off(before: Reached, after: Reached) -> list[str]:
    """The inputs and outputs that had a path and have none."""
    had = sum(int(output.sum()) for output in before.outputs)
    lost = sum(int((old & ~new).sum()) for old, new in zip(before.outputs, after.outputs, strict=True))
    if lost and lost == had:
        return ["no path from the input to any output is left"]
    found = [f"no path from the input to {lost:,} of {had:,} outputs of an example is left"] if lost else []
    inputs = [name for name, leads in before.inputs.items() if leads and not after.inputs[name]]
    return [*found, *(f"no path from input {name} to any output is left" for name in inputs)]
