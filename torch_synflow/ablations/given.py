"""The arguments of the ablations: pruned parameters, random numbers, and a weight arranged by neurons."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow._torch.classes import TransposedConvolution
from torch_synflow.model.masks import pruned_parameters, unwrapped_module
from torch_synflow.model.parameters import Entry, Pair, Parameters, resolve
from torch_synflow.model.prunable import refuse_sharded


def checked_generator(generator: Any) -> torch.Generator | None:
    """Check a generator; ``None`` stands for torch's global one."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator: expected a torch.Generator, got {generator!r}; pass torch.Generator().manual_seed(0)"
        )
    return generator


def pruned_entries(model: nn.Module, parameters: Parameters | None) -> list[Entry]:
    """The entries of ``parameters``, by default of all pruned parameters; each must have a mask."""
    module = unwrapped_module(model)
    refuse_sharded(module, "to shuffle")
    if parameters is None:
        parameters = pruned_parameters(module)
        _require_pruned("model", parameters, type(module).__name__)
    entries = resolve(parameters, module)
    for entry in entries:
        _require_pruned(entry.label, [pair for pair in entry.locations if is_pruned(pair)], "a parameter")
    return entries


def is_pruned(pair: Pair) -> bool:
    """Whether a parameter has a mask."""
    module, name = pair
    return f"{name}_orig" in module._parameters and f"{name}_mask" in module._buffers


def _require_pruned(label: str, pairs: list[Pair], got: str) -> None:
    if not pairs:
        raise ValueError(
            f"{label}: expected a mask of torch.nn.utils.prune to shuffle, got {got} without one; prune first"
        )


def by_neurons(mask: Tensor, entry: Entry) -> Tensor:
    """A view of a contiguous mask of an entry as ``(groups, output channels, input channels, kernel)``.

    An output channel is a row. In transposed convolutions it is a column, as :func:`neuron_collapse` counts them.
    """
    module, _ = entry.locations[0]
    if mask.dim() < 2:
        return mask.view(1, -1, 1, 1)
    groups = getattr(module, "groups", 1) if mask.dim() > 2 else 1
    parts = mask.view(groups, mask.shape[0] // groups, mask.shape[1], -1)
    return parts.transpose(1, 2) if isinstance(module, TransposedConvolution) else parts
