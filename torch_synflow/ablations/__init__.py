"""The ablations of "missing the mark": what of a mask matters, its entries, the weights, or the layers' densities?

Each works on a model that was pruned by anyone through ``torch.nn.utils.prune``, keeps the Parameter objects and the
hooks, and draws the same with a :class:`torch.Generator` of the same state, on whatever device that is.

Source: Frankle et al. 2021, "Pruning neural networks at initialization: why are we missing the mark?", section 5.
"""

from torch_synflow.ablations.new_weights import initialise_with_unit_variance, reinitialise
from torch_synflow.ablations.on_paths import shuffle_effective_masks
from torch_synflow.ablations.shuffling import shuffle_masks
from torch_synflow.methods.inverted import inverted

__all__ = ["initialise_with_unit_variance", "inverted", "reinitialise", "shuffle_effective_masks", "shuffle_masks"]


def __dir__() -> list[str]:
    return sorted(__all__)
