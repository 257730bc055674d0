"""Copies of a pruned model after it has run with gradients."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from torch_synflow.model.masks import pruned_parameters, refresh, unwrapped_module
from torch_synflow.model.transaction import all_or_nothing

Model = TypeVar("Model", bound=nn.Module)


def detach(model: Model) -> Model:
    """Take the graph that a forward pass left in ``module.weight`` of all that is pruned, and bring it up to date.

    Torch's hook puts the product of weight and mask into ``module.weight`` before each forward pass. After one with
    gradients this product belongs to a graph, and ``copy.deepcopy`` of the model fails, and so does whatever copies, as
    ``AveragedModel`` does. Gradients of that pass can still be computed afterwards: the graph itself is not touched.

    Args:
        model: a model, pruned by anyone through ``torch.nn.utils.prune``; one that is not pruned stays as it is.

    Returns:
        The model that was given, so that ``copy.deepcopy(prune.detach(model))`` is one line.

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
