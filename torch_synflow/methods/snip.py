"""SNIP, single-shot network pruning based on connection sensitivity (Lee et al. 2019)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.model.parameters import Pair, Parameters
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Data, LossFunction, Weights


class SNIPUnstructured(SaliencyUnstructured):
    r"""Keep the weights whose removal would change the loss the most, to first order.

    .. math:: S(\theta) = \left| \frac{\partial L}{\partial \theta} \odot \theta \right|

    ``L`` is the mean loss over all examples of the data. The absolute value is taken once, of the gradient over all
    examples. The method scores the model in training mode, in float32 or wider, and by default in one iteration.

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: Lee et al. 2019, "SNIP: single-shot network pruning based on connection sensitivity", as in
    Frankle et al. 2021, appendix B.

    Example:
        >>> from torch_synflow import prune
        >>> model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        >>> batch = (torch.rand(40, 8), torch.arange(40) % 4)
        >>> report = prune.global_iterative_unstructured(
        ...     model, prune.SNIP, amount=0.5, data=batch, loss_fn=nn.functional.cross_entropy
        ... )
        >>> report.kept
        192
    """

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """``abs(dL/dw * w)``."""
        gradients = network.mean_gradient(network.task.data)
        return {name: gradient.mul_(network.weights[name]).abs_() for name, gradient in gradients.items()}


SNIP = SNIPUnstructured


class IterativeSNIPUnstructured(SNIPUnstructured):
    r"""SNIP with scores that are computed again in each of 100 iterations.

    .. math:: S(\theta) = \left| \frac{\partial L}{\partial \theta} \odot \theta \right|
              \text{ at the weights that are left}

    Each iteration reads the data once. A loader that shuffles, or an iterable that draws, gives new examples each time.
    One batch, or an iterator, gives the same examples. The schedule is exponential, like SynFlow's.

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: Frankle et al. 2021, appendix G; Verdenius et al. 2020, "Pruning via iterative ranking of sensitivity
    statistics"; de Jorge et al. 2020, "Progressive skeletonization".

    Example:
        >>> from torch_synflow import prune
        >>> model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        >>> dataset = torch.utils.data.TensorDataset(
        ...     torch.rand(40, 8), torch.arange(40) % 4
        ... )
        >>> loader = torch.utils.data.DataLoader(dataset, batch_size=40, shuffle=True)
        >>> report = prune.global_iterative_unstructured(
        ...     model,
        ...     prune.IterativeSNIP,
        ...     amount=0.5,
        ...     data=loader,
        ...     loss_fn=nn.functional.cross_entropy,
        ... )
        >>> report.kept
        192
    """

    iterations: ClassVar[int] = 100


IterativeSNIP = IterativeSNIPUnstructured


def snip_scores(
    model: nn.Module, data: Data, loss_fn: LossFunction, parameters: Parameters | None = None
) -> dict[Pair, Tensor]:
    r"""Compute SNIP's scores :math:`|\partial L / \partial w \cdot w|` of a model.

    Args:
        model: the model, which is only read.
        data: one batch ``(inputs, targets)`` or an iterable of batches such as a ``DataLoader``.
        loss_fn: ``loss_fn(outputs, targets)``, the mean over the examples of a batch.
        parameters: ``(module, name)`` pairs, all prunable weights by default.

    Returns:
        A tensor per pair, of its parameter's shape, in the unit of the loss. Higher means keep; pruned weights score
        zero.

    Raises:
        TypeError, ValueError: if the data are empty or not batches, the loss is not a finite scalar that depends on the
            outputs, scores are not finite, or all scores of a tensor of an unpruned model are zero.

    Source: Frankle et al. 2021, appendix B.2.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, -2.0]]))
        >>> # L = (3 - 4)^2, dL/dw = [-2, -4]
        >>> batch = (torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]]))
        >>> snip_scores(model, batch, nn.functional.mse_loss)[model, "weight"].tolist()
        [[6.0, 8.0]]
    """
    return SNIPUnstructured.scores(model, parameters, data=data, loss_fn=loss_fn)


def snip_unstructured(
    module: nn.Module,
    name: str,
    amount: float,
    importance_scores: Tensor | None = None,
    *,
    model: nn.Module | None = None,
    data: Data | None = None,
    loss_fn: LossFunction | None = None,
) -> nn.Module:
    """Prune one parameter by its SNIP scores, in one step.

    Args:
        module: the module that holds the parameter.
        name: the name of the parameter in ``module``.
        amount: how much of it to remove: a fraction of the weights not yet pruned, or a count.
        importance_scores: scores of the parameter's shape, instead of a model.
        model: the model that ``module`` belongs to.
        data: one batch ``(inputs, targets)`` or an iterable of batches.
        loss_fn: ``loss_fn(outputs, targets)``, the mean over a batch.

    Returns:
        ``module``, pruned.

    Raises:
        ValueError: if neither scores nor a model with data is passed, or as for :func:`snip_scores`.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> batch = (torch.rand(20, 4), torch.arange(20) % 2)
        >>> _ = snip_unstructured(
        ...     model[2],
        ...     "weight",
        ...     0.5,
        ...     model=model,
        ...     data=batch,
        ...     loss_fn=nn.functional.cross_entropy,
        ... )
        >>> int(model[2].weight_mask.sum())
        3
    """
    method = SNIPUnstructured
    if importance_scores is None:
        method = method.bind(model, data=data, loss_fn=loss_fn)  # type: ignore[arg-type]
    method.apply(module, name, amount, importance_scores=importance_scores)
    return module
