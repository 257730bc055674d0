"""FORCE and GraSP-It, progressive skeletonization (de Jorge et al. 2020)."""

from __future__ import annotations

from typing import ClassVar

from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Weights


class FORCEUnstructured(SaliencyUnstructured):
    r"""Keep the weights that matter most to the loss of the pruned network; a pruned weight may return.

    .. math:: S(\theta) = \left| \frac{\partial L}{\partial \theta}(m \odot \theta) \odot \theta \right|

    Each iteration takes the gradient at the weights that the previous mask :math:`m` keeps. It scores all weights that
    the call began with by their unmasked values, so a weight that was left out can return. Weights that an earlier call
    pruned stay pruned. By default, there are 60 iterations with the exponential schedule, in training mode. Each
    iteration reads the data once, as for ``IterativeSNIP``.

    Outside the loop, the scores of a model are those of SNIP.

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: de Jorge et al. 2020, "Progressive skeletonization: trimming more fat from a network at initialization";
    the code of its authors recommends 60 iterations.

    Example:
        >>> from torch_synflow import prune
        >>> model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        >>> batch = (torch.rand(40, 8), torch.arange(40) % 4)
        >>> report = prune.global_iterative_unstructured(
        ...     model, prune.FORCE, amount=0.9, data=batch, loss_fn=nn.functional.cross_entropy
        ... )
        >>> report.kept
        38
    """

    iterations: ClassVar[int] = 60
    pruned_may_return: ClassVar[bool] = True

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """``abs(dL/dw * w)``, with the gradient at the kept weights and ``w`` unmasked."""
        gradients = network.mean_gradient(network.task.data)
        return {name: gradient.mul_(network.dense[name]).abs_() for name, gradient in gradients.items()}


FORCE = FORCEUnstructured


class GraSPItUnstructured(SaliencyUnstructured):
    r"""Keep the weights with the largest part of the pruned network's gradient norm, scored again in each iteration.

    .. math:: S(\theta) = \left( \frac{\partial L}{\partial \theta}(m \odot \theta) \right)^2

    GraSP's objective, the squared norm of the gradient, is a sum over the kept weights. The score of a weight is its
    part of that sum, so no second derivative is needed. By default, there are 60 iterations with the exponential
    schedule, in training mode. Each iteration reads the data once, as for ``IterativeSNIP``.

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: de Jorge et al. 2020, "Progressive skeletonization: trimming more fat from a network at initialization",
    where it is GRASP-It, as in its authors' code.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, -2.0]]))
        >>> # L = (3 - 4)^2, dL/dw = [-2, -4]
        >>> batch = (torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]]))
        >>> scores = prune.GraSPIt.scores(model, data=batch, loss_fn=nn.functional.mse_loss)
        >>> scores[model, "weight"].tolist()
        [[4.0, 16.0]]
    """

    iterations: ClassVar[int] = 60

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """``(dL/dw)^2``."""
        return {name: gradient.square_() for name, gradient in network.mean_gradient(network.task.data).items()}


GraSPIt = GraSPItUnstructured
