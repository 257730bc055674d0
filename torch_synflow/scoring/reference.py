r"""The scores as the papers write them, with ``torch.func`` alone; the file to read first.

A model is a function of its weights (:func:`loss_of`), and a score is a derivative of a scalar of its outputs. Methods
compute the same scores in less time and memory, and on many batches. Tests compare them with these on every model of
their table. If SynFlow's engine cannot record a model, :func:`synflow` computes its scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, jvp

from torch_synflow.scoring.task import LossFunction, Weights

#: a scalar as a function of weights by name
Scalar = Callable[[Weights], Tensor]


def loss_of(model: nn.Module, inputs: Any, targets: Any, loss_fn: LossFunction, temperature: float = 1.0) -> Scalar:
    r"""The loss :math:`L(\theta)` of one batch, with outputs divided by ``temperature``.

    Args:
        model: the model, in the mode for scoring.
        inputs: a tensor, a tuple of positional arguments or a mapping of keyword arguments.
        targets: the targets for ``loss_fn``.
        loss_fn: ``loss_fn(outputs, targets)``, a scalar.
        temperature: the divisor of the outputs, which must be a tensor unless it is 1 (Frankle et al. 2021, appendix
            C.1).

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> x, y = torch.tensor([[1.0, 2.0]]), torch.zeros(1, 1)
        >>> loss = loss_of(model, x, y, nn.functional.mse_loss)
        >>> float(loss({"weight": torch.tensor([[3.0, -2.0]])}))
        1.0
    """

    def loss(weights: Weights) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}  # BatchNorm writes to them
        args, kwargs = ((), dict(inputs)) if isinstance(inputs, Mapping) else (inputs, {})
        outputs = functional_call(model, {**buffers, **weights}, args, kwargs)
        return loss_fn(outputs if temperature == 1.0 else outputs / temperature, targets)

    return loss


def synaptic(scalar: Scalar, weights: Weights) -> Weights:
    r""":math:`\partial R / \partial \theta \odot \theta` of any scalar R, with the shapes of the weights.

    Source: Tanaka et al. 2020, section 4, equation 1.
    """
    gradients = grad(scalar)(weights)
    return {name: gradients[name] * weight for name, weight in weights.items()}


def synflow(flow: Scalar, weights: Weights) -> tuple[Weights, Tensor]:
    r""":math:`\partial R / \partial |\theta| \odot |\theta|`, and R, which is the sum of the scores of every cut.

    ``flow`` is :math:`R = \mathbb{1}^\top f(\mathbb{1}; |\theta|)` of the model under its homogeneous surrogate,
    with the absolute values of all other parameters (:func:`torch_synflow.flow.passes.flow_of`).

    Source: Tanaka et al. 2020, section 6, equations 2 and 3.
    """
    absolute = {name: weight.abs() for name, weight in weights.items()}
    gradients, result = grad_and_value(flow)(absolute)
    return {name: gradients[name] * weight for name, weight in absolute.items()}, result


def snip(loss: Scalar, weights: Weights) -> Weights:
    r""":math:`|\partial L / \partial \theta \odot \theta|`.

    Source: Lee et al. 2019, equation 6, as in Frankle et al. 2021, appendix B.1.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> x, y = torch.tensor([[1.0, 2.0]]), torch.zeros(1, 1)
        >>> loss = loss_of(model, x, y, nn.functional.mse_loss)
        >>> # L = (w1 + 2 w2)^2, dL/dw = [-2, -4]
        >>> snip(loss, {"weight": torch.tensor([[3.0, -2.0]])})["weight"].tolist()
        [[6.0, 8.0]]
    """
    return {name: score.abs() for name, score in synaptic(loss, weights).items()}


def grasp(loss: Scalar, weights: Weights) -> Weights:
    r""":math:`\theta \odot H g`, with the product of Hessian and gradient as a derivative along the gradient.

    Source: Wang et al. 2020, equation 8, with the sign inverted, as in Frankle et al. 2021, appendix C.1, equation 4.
    """
    gradient = grad(loss)
    products: Weights = jvp(gradient, (weights,), (gradient(weights),))[1]
    return {name: products[name] * weight for name, weight in weights.items()}
