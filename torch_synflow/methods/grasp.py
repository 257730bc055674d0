"""GraSP, gradient signal preservation (Wang et al. 2020)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.model.parameters import Pair, Parameters
from torch_synflow.scoring.data import batches
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Data, LossFunction, Weights


class GraSPUnstructured(SaliencyUnstructured):
    r"""Keep the weights whose removal would most reduce the gradient flow.

    .. math:: S(\theta) = \theta \odot H g, \qquad g = \frac{\partial L}{\partial \theta},
              \quad H = \frac{\partial^2 L}{\partial \theta^2}

    The paper prunes the highest of ``-w * Hg``. Here the sign is inverted, so higher means keep. Scores are signed and
    ranked without an absolute value. ``L`` is the mean loss over all examples of the data, of outputs divided by
    ``temperature``. Both derivatives use the same examples and the same dropout, and are taken with respect to the
    pruned parameters. The method scores the model in training mode, by default in one iteration.

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: Wang et al. 2020, "Picking winning tickets before training by preserving gradient flow", as in
    Frankle et al. 2021, appendix C, equation 4; the temperature comes from the SynFlow authors' code.

    Example:
        >>> from torch_synflow import prune
        >>> model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        >>> batch = (torch.rand(40, 8), torch.arange(40) % 4)
        >>> report = prune.global_iterative_unstructured(
        ...     model, prune.GraSP, amount=0.5, data=batch, loss_fn=nn.functional.cross_entropy
        ... )
        >>> report.kept
        192
    """

    #: the divisor of the outputs before the loss; to change it, set it in a subclass
    temperature: ClassVar[float] = 200.0

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """``w * Hg``."""
        data = list(batches(network.task.data))  # kept, because two passes need the same examples in the same order
        products = network.mean_product_with_hessian(data, temperature=cls.temperature)
        return {name: product.mul_(network.weights[name]) for name, product in products.items()}


GraSP = GraSPUnstructured


class GraSPLowestUnstructured(GraSPUnstructured):
    r"""GraSP inverted: prune the weights that GraSP ranks highest.

    .. math:: S(\theta) = -\theta \odot H g

    This is the inversion experiment. It prunes the lowest of the paper's ``-w * Hg`` rather than the highest.

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: Frankle et al. 2021, section 5 and appendix H.

    Example:
        >>> model = nn.Linear(4, 3)
        >>> batch = (torch.rand(9, 4), torch.arange(9) % 3)
        >>> data = {"data": batch, "loss_fn": nn.functional.cross_entropy}
        >>> scores = prune.GraSPLowest.scores(model, **data)[model, "weight"]
        >>> bool((scores == -prune.GraSP.scores(model, **data)[model, "weight"]).all())
        True
    """

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """``-w * Hg``."""
        return {name: score.neg_() for name, score in super().saliency(network).items()}


GraSPLowest = GraSPLowestUnstructured


class GraSPMagnitudeUnstructured(GraSPUnstructured):
    r"""GraSP without the sign: keep the weights whose removal would change the gradient flow the most.

    .. math:: S(\theta) = \left| \theta \odot H g \right|

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: Frankle et al. 2021, appendix H, which prunes the lowest magnitudes to improve GraSP.

    Example:
        >>> model = nn.Linear(4, 3)
        >>> batch = (torch.rand(9, 4), torch.arange(9) % 3)
        >>> data = {"data": batch, "loss_fn": nn.functional.cross_entropy}
        >>> scores = prune.GraSPMagnitude.scores(model, **data)[model, "weight"]
        >>> bool((scores == prune.GraSP.scores(model, **data)[model, "weight"].abs()).all())
        True
    """

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """``abs(w * Hg)``."""
        return {name: score.abs_() for name, score in super().saliency(network).items()}


GraSPMagnitude = GraSPMagnitudeUnstructured


def grasp_scores(
    model: nn.Module, data: Data, loss_fn: LossFunction, parameters: Parameters | None = None
) -> dict[Pair, Tensor]:
    r"""Compute GraSP's signed scores :math:`w \odot H g` of a model.

    Args:
        model: the model, which is only read.
        data: one batch ``(inputs, targets)`` or an iterable of batches such as a ``DataLoader``, read once.
        loss_fn: ``loss_fn(outputs, targets)``, the mean over the examples of a batch, twice differentiable.
        parameters: ``(module, name)`` pairs, all prunable weights by default.

    Returns:
        A tensor per pair, of its parameter's shape, in the squared unit of the loss. Higher means keep; pruned weights
        score zero.

    Raises:
        TypeError, ValueError: if the data are empty or not batches, the loss is not a finite scalar that depends on the
            outputs, scores are not finite, or all scores of a tensor of an unpruned model are zero.

    Source: Frankle et al. 2021, appendix C.1, equation 4.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, -2.0]]))
        >>> batch = (torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]]))
        >>> # undoes the temperature
        >>> loss = lambda outputs, targets: ((200.0 * outputs - targets) ** 2).mean()
        >>> # L = (w1 + 2 w2)^2, g = [-2, -4], H = [[2, 4], [4, 8]], Hg = [-20, -40]
        >>> grasp_scores(model, batch, loss)[model, "weight"].tolist()
        [[-60.0, 80.0]]
    """
    return GraSPUnstructured.scores(model, parameters, data=data, loss_fn=loss_fn)


def grasp_unstructured(
    module: nn.Module,
    name: str,
    amount: float,
    importance_scores: Tensor | None = None,
    *,
    model: nn.Module | None = None,
    data: Data | None = None,
    loss_fn: LossFunction | None = None,
) -> nn.Module:
    """Prune one parameter by its GraSP scores, in one step.

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
        ValueError: if neither scores nor a model with data is passed, or as for :func:`grasp_scores`.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> batch = (torch.rand(20, 4), torch.arange(20) % 2)
        >>> _ = grasp_unstructured(
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
    method = GraSPUnstructured
    if importance_scores is None:
        method = method.bind(model, data=data, loss_fn=loss_fn)  # type: ignore[arg-type]
    method.apply(module, name, amount, importance_scores=importance_scores)
    return module
