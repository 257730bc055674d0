"""The diagonal of the loss's Hessian in units of the weights, without the curvature of the network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from torch_synflow._torch.pytree import tree_flatten, tree_unflatten
from torch_synflow.scoring.data import loss_of_batch
from torch_synflow.scoring.gradients import as_leaves, as_scalar, gradients
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Weights

#: eigenvalues of the loss's Hessian by the outputs below this, relative to the greatest, are rounding
SMALLEST = 1e-6


def gauss_newton_diagonal(network: Network, data: Iterable[Any]) -> Weights:
    r"""The diagonal of the generalised Gauss-Newton matrix of the mean loss over all examples, times squared weights.

    .. math:: \sum_r \lambda_r \left( \frac{\partial (u_r^\top z)}{\partial \theta} \odot \theta \right)^2
              \quad \text{with} \quad \frac{\partial^2 L}{\partial z \, \partial z^\top} = \sum_r \lambda_r u_r u_r^\top

    ``z`` are the outputs of a batch. The diagonal is computed exactly, with one backward pass per nonzero eigenvalue. A
    batch has at most as many as it has outputs, so pass batches of one example.

    Args:
        network: the model, open.
        data: batches ``(inputs, targets)``.

    Raises:
        ValueError: if there is no loss function, or no output depends on the weights.
    """
    if network.task.loss_fn is None:
        raise ValueError(
            "loss_fn: expected a function loss_fn(outputs, targets), got none; the score needs second derivatives of "
            "the loss by the outputs, which a loss computed inside the model does not provide"
        )

    def of_batch(index: int, inputs: Any, targets: Any) -> Weights:
        weights = as_leaves(network.weights)
        leaves, structure = tree_flatten(network(weights, inputs))
        places = [at for at, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.requires_grad]
        if not places:
            raise ValueError("model: expected outputs that depend on the weights, got none with a gradient")
        flat = torch.cat([leaves[at].reshape(-1) for at in places])

        def loss(values: Tensor) -> Tensor:
            parts = values.split([leaves[at].numel() for at in places])
            put = dict(zip(places, parts, strict=True))
            found = [put[at].view_as(leaf) if at in put else leaf for at, leaf in enumerate(leaves)]
            return as_scalar(loss_of_batch(network.task.loss_fn, tree_unflatten(found, structure), targets), "loss_fn")

        hessian = torch.autograd.functional.hessian(loss, flat.detach())
        if not bool(torch.isfinite(hessian).all()):
            raise ValueError(f"data: expected finite second derivatives of the loss, got NaN or infinity in {index}")
        values, vectors = torch.linalg.eigh(hessian)
        diagonal = {name: torch.zeros_like(weight) for name, weight in network.weights.items()}
        for value, vector in zip(values.tolist(), vectors.unbind(1), strict=True):
            if abs(value) > SMALLEST * float(values.abs().max()):
                for name, gradient in gradients([flat], weights, times=[vector], retain_graph=True).items():
                    change = gradient.mul_(network.weights[name])  # squares of either factor alone may underflow
                    diagonal[name].addcmul_(change, change, value=value)
        return diagonal

    return network.mean_over_examples(data, of_batch)
