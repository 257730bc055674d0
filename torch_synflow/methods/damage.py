"""Optimal Brain Damage: keep the weights whose removal would raise the loss the most, to second order."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.model.parameters import Pair, Parameters
from torch_synflow.scoring.curvature import gauss_newton_diagonal
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Data, LossFunction, Weights


class OptimalBrainDamageUnstructured(SaliencyUnstructured):
    r"""Keep the weights whose removal from a trained network would raise the loss the most, to second order.

    .. math:: S(\theta_i) = \tfrac{1}{2} h_{ii} \theta_i^2

    ``h`` is the diagonal of the generalised Gauss-Newton matrix of the mean loss over all examples,
    :math:`\sum_{o,p} \frac{\partial z_o}{\partial \theta_i} \frac{\partial^2 L}{\partial z_o \partial z_p}
    \frac{\partial z_p}{\partial \theta_i}` with outputs ``z``, computed exactly. It is the Hessian's own diagonal where
    the outputs are piecewise linear in each weight: with ReLU, max pooling and BatchNorm in evaluation mode, and no
    weight used twice. Elsewhere it leaves out the term with the network's curvature, as the paper's own
    (Levenberg-Marquardt) approximation does, which drops terms between units of a layer beside that.

    The model is scored in evaluation mode, in float32 or wider, and by default in one iteration. An example takes one
    forward pass, and a backward pass for each of its outputs.

    Args:
        amount: what to remove, a fraction of the entries not yet pruned or a count.

    Source: LeCun, Denker and Solla 1990, "Optimal brain damage", equations 3 to 5.

    Example:
        >>> from torch_synflow import prune
        >>> model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        >>> batch = (torch.rand(40, 8), torch.arange(40) % 4)
        >>> report = prune.global_iterative_unstructured(
        ...     model, prune.OptimalBrainDamage, amount=0.5, data=batch, loss_fn=nn.functional.cross_entropy
        ... )
        >>> report.kept
        192
    """

    training: ClassVar[bool] = False
    batch_size: ClassVar[int | None] = 1

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """``1/2 * h * w^2``."""
        diagonal = gauss_newton_diagonal(network, network.task.data)
        return {name: change.div_(2) for name, change in diagonal.items()}


OptimalBrainDamage = OptimalBrainDamageUnstructured


def optimal_brain_damage_scores(
    model: nn.Module, data: Data, loss_fn: LossFunction, parameters: Parameters | None = None
) -> dict[Pair, Tensor]:
    r"""The scores :math:`\tfrac{1}{2} h_{ii} w_i^2` of a model.

    Args:
        model: the model; it is only read.
        data: one batch ``(inputs, targets)`` or an iterable of batches such as a ``DataLoader``.
        loss_fn: ``loss_fn(outputs, targets)``, the mean over the examples of a batch, twice differentiable.
        parameters: ``(module, name)`` pairs, all prunable weights by default.

    Returns:
        For each pair a tensor of its parameter's shape, in the unit of the loss, higher meaning keep, zero where
        pruned. None is negative if the loss is convex in the outputs, as cross-entropy is.

    Raises:
        TypeError, ValueError: as :func:`~torch_synflow.prune.snip_scores`.

    Source: LeCun, Denker and Solla 1990, equation 5.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, -2.0]]))
        >>> batch = (torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]]))  # L = (w1 + 2 w2)^2, h = [2, 8]
        >>> optimal_brain_damage_scores(model, batch, nn.functional.mse_loss)[model, "weight"].tolist()
        [[9.0, 16.0]]
    """
    return OptimalBrainDamageUnstructured.scores(model, parameters, data=data, loss_fn=loss_fn)


def optimal_brain_damage_unstructured(
    module: nn.Module,
    name: str,
    amount: float,
    importance_scores: Tensor | None = None,
    *,
    model: nn.Module | None = None,
    data: Data | None = None,
    loss_fn: LossFunction | None = None,
) -> nn.Module:
    """Prune one parameter by its scores of Optimal Brain Damage, in one go.

    Args:
        module: holds the parameter.
        name: its name there.
        amount: what to remove of it, a fraction of the entries not yet pruned or a count.
        importance_scores: scores of the parameter's shape, instead of a model.
        model: the model that ``module`` belongs to.
        data: one batch ``(inputs, targets)`` or an iterable of batches.
        loss_fn: ``loss_fn(outputs, targets)``, the mean over a batch.

    Returns:
        ``module``, pruned.

    Raises:
        ValueError: if neither scores nor a model with data is given, among others.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> batch = (torch.rand(20, 4), torch.arange(20) % 2)
        >>> _ = optimal_brain_damage_unstructured(
        ...     model[2], "weight", 0.5, model=model, data=batch, loss_fn=nn.functional.cross_entropy
        ... )
        >>> int(model[2].weight_mask.sum())
        3
    """
    method = OptimalBrainDamageUnstructured
    if importance_scores is None:
        method = method.bind(model, data=data, loss_fn=loss_fn)  # type: ignore[arg-type]
    method.apply(module, name, amount, importance_scores=importance_scores)
    return module
