"""The ablations of "missing the mark": do the kept positions matter, the weights, or only the layer densities?

Each ablation works on any model that ``torch.nn.utils.prune`` has pruned, and keeps the Parameter objects and the
hooks. Generators in the same state give the same draws, on any device.

Source: Frankle et al. 2021, "Pruning neural networks at initialization: why are we missing the mark?", section 5.
"""

from torch_synflow.ablations.new_weights import initialise_with_unit_variance, reinitialise
from torch_synflow.ablations.on_paths import shuffle_effective_masks
from torch_synflow.ablations.shuffling import shuffle_masks
from torch_synflow.methods.inverted import inverted

#: American spellings of the same functions
reinitialize, initialize_with_unit_variance = reinitialise, initialise_with_unit_variance

__all__ = [
    "initialise_with_unit_variance",
    "initialize_with_unit_variance",
    "inverted",
    "reinitialise",
    "reinitialize",
    "shuffle_effective_masks",
    "shuffle_masks",
]


def __dir__() -> list[str]:
    return sorted(__all__)
