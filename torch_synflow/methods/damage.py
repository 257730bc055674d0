"""Optimal Brain Damage: keep the weights whose removal would raise the loss the most, to second order."""

from __future__ import annotations

from typing import ClassVar

from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.scoring.curvature import gauss_newton_diagonal
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Weights


class OptimalBrainDamageUnstructured(SaliencyUnstructured):
    r"""Keep the weights whose removal from a trained network would raise the loss the most, to second order.

    .. math:: S(\theta_i) = \tfrac{1}{2} h_{ii} \theta_i^2

    ``h`` is the diagonal of the generalised Gauss-Newton matrix of the mean loss over all examples,
    :math:`\sum_{o,p} \frac{\partial z_o}{\partial \theta_i} \frac{\partial^2 L}{\partial z_o \partial z_p}
    \frac{\partial z_p}{\partial \theta_i}` with outputs ``z``, computed exactly. It is the Hessian's own diagonal if
    the outputs are piecewise linear in each weight: with ReLU, max pooling and BatchNorm in evaluation mode, and no
    weight used twice. Elsewhere it leaves out the term with the network's curvature. The paper's own
    (Levenberg-Marquardt) approximation leaves it out too, and also drops terms between units of a layer.

    The method scores the model in evaluation mode, in float32 or wider, and by default in one iteration. Each example
    needs one forward pass and one backward pass per output.

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: LeCun, Denker and Solla 1990, "Optimal brain damage", equations 3 to 5.

    Example:
        >>> from torch_synflow import prune
        >>> model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        >>> batch = (torch.rand(40, 8), torch.arange(40) % 4)
        >>> report = prune.global_iterative_unstructured(
        ...     model,
        ...     prune.OptimalBrainDamage,
        ...     amount=0.5,
        ...     data=batch,
        ...     loss_fn=nn.functional.cross_entropy,
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
