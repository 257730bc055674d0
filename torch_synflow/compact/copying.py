"""Copying a pruned model after it has run with gradients."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from torch_synflow.model.masks import pruned_parameters, refresh, unwrapped_module
from torch_synflow.model.transaction import all_or_nothing

Model = TypeVar("Model", bound=nn.Module)


def detach(model: Model) -> Model:
    """Update ``module.weight`` of all pruned parameters, without the graph that a forward pass has left in it.

    Torch's hook writes the product of weight and mask to ``module.weight`` before each forward pass. After a pass with
    gradients, this product belongs to a graph. ``copy.deepcopy`` of the model then fails, and so do functions that
    copy, such as ``AveragedModel``. The call does not change the graph itself, so you can still compute the gradients
    of that pass.

    Args:
        model: a model that ``torch.nn.utils.prune`` has pruned. An unpruned model does not change.

    Returns:
        The same model, so ``copy.deepcopy(prune.detach(model))`` fits in one line.

    Raises:
        TypeError: if ``model`` is no module.

    Example:
        >>> import copy
        >>> model = nn.Linear(4, 2)
        >>> _ = prune.l1_unstructured(model, "weight", amount=5)
        >>> model(torch.rand(1, 4)).sum().backward()
        >>> twin = copy.deepcopy(prune.detach(model))
        >>> torch.equal(twin.weight, model.weight)
        True
    """
    inner = unwrapped_module(model)

    def work() -> None:
        for pair in pruned_parameters(inner):
            refresh(pair)

    all_or_nothing([inner], work)
    return model
