"""Inverted methods, which prune the weights that another method ranks highest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow.budget.counts import check_amount, to_remove
from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.methods.made import make_class
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Weights


def inverted(pruning_method: type[BasePruningMethod]) -> type[BasePruningMethod]:
    """Make a method that prunes the weights that ``pruning_method`` ranks highest, and keeps the lowest.

    Scores change their sign, which inverts the order of all scores, including zeros and signed ones. One over the score
    would not. Torch's functions rank the scores that you pass without a change of sign, so pass those of the inverted
    class. For a method without scores (torch's or a third party's), the inverted method keeps the complement of the
    weights that the method keeps for the complementary count.

    Args:
        pruning_method: an unstructured ``BasePruningMethod`` class.

    Returns:
        A class for ``global_iterative_unstructured`` and torch's functions.

    Raises:
        TypeError: if ``pruning_method`` is not such a class.

    Source: Frankle et al. 2021, section 5, "Inversion".

    Example:
        >>> from torch_synflow import ablations
        >>> model = nn.Linear(4, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[4.0, -3.0, 0.0, 1.0]]))
        >>> method = ablations.inverted(prune.L1Unstructured)
        >>> report = prune.global_iterative_unstructured(model, method, 0.5)
        >>> model.weight_mask.tolist()
        [[0.0, 0.0, 1.0, 1.0]]
    """
    if not (isinstance(pruning_method, type) and issubclass(pruning_method, BasePruningMethod)):
        raise TypeError(f"pruning_method: expected a BasePruningMethod class, got {pruning_method!r}")
    name = f"Inverted{pruning_method.__name__}"
    if issubclass(pruning_method, SaliencyUnstructured):
        scored: type[SaliencyUnstructured] = pruning_method

        def saliency(cls: type[SaliencyUnstructured], network: Network) -> Weights:
            return {key: -score for key, score in scored.saliency.__func__(cls, network).items()}  # type: ignore[attr-defined]

        return make_class(name, pruning_method, {"saliency": classmethod(saliency)}, inverted, pruning_method)

    def init(self: Any, amount: float) -> None:
        check_amount(amount)
        self.amount = amount

    def compute_mask(self: Any, t: Tensor, default_mask: Tensor) -> Tensor:
        alive = default_mask.reshape(-1) != 0
        values = t.reshape(-1)[alive]
        keep = values.numel() - to_remove(self.amount, values.numel())
        # the weights that the method would remove first are now kept
        last = pruning_method(amount=keep).compute_mask(values, torch.ones_like(values))  # type: ignore[call-arg]
        kept = torch.zeros_like(alive).masked_scatter(alive, last == 0)
        return default_mask * kept.view(default_mask.shape)

    methods = {"__init__": init, "compute_mask": compute_mask}
    return make_class(name, pruning_method, methods, inverted, pruning_method)
