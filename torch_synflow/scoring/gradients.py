"""Gradients of scalars with respect to weights, and their means over data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from torch_synflow._progress import show_batch
from torch_synflow.scoring.data import batch_size, batches
from torch_synflow.scoring.task import AddUp, Weights


def as_scalar(value: Any, name: str) -> Tensor:
    """``value``, the result of a user's function, checked to be a scalar with a gradient."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a scalar tensor, got {type(value).__name__}")
    if value.numel() != 1:
        raise ValueError(
            f"{name}: expected a scalar, got a tensor of shape {tuple(value.shape)}; "
            'use the mean over the batch (reduction="mean")'
        )
    if not value.requires_grad:
        kind = "loss" if name == "loss_fn" else "scalar"
        raise ValueError(
            f"{name}: expected a {kind} that depends on the model's outputs, got one without a gradient; "
            "leave out detach(), item(), argmax and no_grad"
        )
    return value.reshape(())


def as_leaves(weights: Weights) -> Weights:
    """Weights as leaves of a new autograd graph, on the same memory."""
    return {name: weight.detach().requires_grad_() for name, weight in weights.items()}


def gradients(
    outputs: Sequence[Tensor],
    weights: Weights,
    *,
    times: Sequence[Tensor] | None = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Weights:
    """The gradient of the sum of ``outputs * times`` by each of ``weights``, zeros where it does not depend on them.

    It uses plain autograd, because torch.func's ``grad`` always builds the graph of the gradient too, at twice the
    memory.

    Args:
        outputs: tensors with a graph; scalars if ``times`` is not given.
        weights: leaves of the graph by name.
        times: factors of the outputs' shapes.
        create_graph: whether the gradient will be differentiated.
        retain_graph: whether another backward pass will use the graph.

    Example:
        >>> w = torch.tensor([3.0, -2.0], requires_grad=True)
        >>> gradients([(w**2).sum()], {"w": w})
        {'w': tensor([ 6., -4.])}
    """
    if not outputs:
        return {name: torch.zeros_like(weight) for name, weight in weights.items()}
    found = torch.autograd.grad(
        outputs, list(weights.values()), times, retain_graph, create_graph, allow_unused=True, materialize_grads=True
    )
    if not create_graph:
        found = tuple(gradient.detach() for gradient in found)  # older torch makes zeros that require a gradient
    return dict(zip(weights, found, strict=True))


def mean_over_examples(
    data: Iterable[Any], function: Callable[[int, Any, Any], Weights], add_up: AddUp | None = None
) -> Weights:
    """The mean of ``function(index, inputs, targets)`` over batches, weighted by their numbers of examples.

    With ``add_up``, these batches are a part of the data, and the mean is over all data.
    """
    total: Weights = {}
    first, examples = 0, 0
    for index, (inputs, targets) in enumerate(batches(data)):
        values = function(index, inputs, targets)
        show_batch(index + 1)
        size = batch_size(inputs)
        if not index:
            total, first = values, size  # unchanged: one batch needs no second tensor and no rounding
        else:
            if index == 1:
                total = {name: value * first for name, value in total.items()}
            for name in list(values):
                total[name].add_(values.pop(name), alpha=size)
        examples += size
    if add_up is not None:
        if examples == first:
            total = {name: value * first for name, value in total.items()}
        first, examples = 0, add_up(total, examples)
    return total if examples == first else {name: value.div_(examples) for name, value in total.items()}
