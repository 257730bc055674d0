"""Synaptic saliency of any scalar (Tanaka et al. 2020), and its square, Taylor-FO (Molchanov et al. 2019)."""

from __future__ import annotations

from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Weights


class SynapticSaliencyUnstructured(SaliencyUnstructured):
    r"""Keep the weights with the highest synaptic saliency of a scalar that you write as a function of the outputs.

    .. math:: S(\theta) = \frac{\partial R}{\partial \theta} \odot \theta

    ``loss_fn(outputs, targets)`` is R. For several batches, R is the mean over all examples. Scores are signed and
    ranked without an absolute value, so the weights that raise R the most, to first order, are kept. Without biases,
    scores are conserved at every unit and across every cut of the network. For a method with a fixed R, write a
    subclass of ``SaliencyUnstructured`` that returns ``dR/dw * w`` with ``network.gradient``.

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: Tanaka et al. 2020, section 4, equation 1.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, -2.0]]))
        >>> # R = (3 - 4)^2, dR/dw = [-2, -4]
        >>> batch = (torch.tensor([[1.0, 2.0]]), torch.tensor([0]))
        >>> power = lambda outputs, targets: outputs.square().sum()
        >>> scores = prune.SynapticSaliency.scores(model, data=batch, loss_fn=power)
        >>> scores[model, "weight"].tolist()
        [[-6.0, 8.0]]
    """

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """``dR/dw * w``."""
        gradients = network.mean_gradient(network.task.data)
        return {name: gradient.mul_(network.weights[name]) for name, gradient in gradients.items()}


SynapticSaliency = SynapticSaliencyUnstructured


class TaylorFOUnstructured(SynapticSaliencyUnstructured):
    r"""Keep the weights whose removal would change the loss the most; the scores are the squares of SNIP's.

    .. math:: S(\theta) = \left( \frac{\partial L}{\partial \theta} \odot \theta \right)^2

    The order is SNIP's, except that the squares of small scores are zero in float32 and therefore tie.

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: Molchanov et al. 2019, "Importance estimation for neural network pruning", equation 8.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, -2.0]]))
        >>> # L = (3 - 4)^2, dL/dw = [-2, -4]
        >>> batch = (torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]]))
        >>> scores = prune.TaylorFO.scores(model, data=batch, loss_fn=nn.functional.mse_loss)
        >>> scores[model, "weight"].tolist()
        [[36.0, 64.0]]
    """

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """``(dL/dw * w)^2``."""
        return {name: score.square_() for name, score in super().saliency(network).items()}


TaylorFO = TaylorFOUnstructured
