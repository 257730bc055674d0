"""SynFlow, iterative synaptic flow pruning (Tanaka et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from torch_synflow._warnings import warn_user
from torch_synflow.flow.blame import explain
from torch_synflow.flow.positive import PositiveNetwork
from torch_synflow.flow.surrogate.exponents import ScaledFlow
from torch_synflow.flow.surrogate.mode import Flow
from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.model.parameters import Entry, ExampleInputs, Pair, Parameters
from torch_synflow.model.threads import ONE_AT_A_TIME
from torch_synflow.scoring.marked import require_finite
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.opening import differentiating, opened
from torch_synflow.scoring.task import Task, Weights
from torch_synflow.selection.stream import ScoreStream


class SynFlowUnstructured(SaliencyUnstructured):
    r"""Keep the weights that carry the most synaptic flow, without data.

    .. math:: R = \mathbb{1}^\top f(\mathbb{1}; |\theta|), \qquad
              S(\theta) = \frac{\partial R}{\partial |\theta|} \odot |\theta|

    The method scores the network with the absolute values of all its parameters, in evaluation mode, on one input of
    ones, in float64. In float32, the plain pass overflows on networks deeper than ResNet-44 for CIFAR-10 and ResNet-18
    for ImageNet (Frankle et al. 2021, appendix D.2). Homogeneous surrogates replace operations that are not positively
    homogeneous, from GELU to attention; see ``torch_synflow.flow``. Scores beyond the range of float64 share a common
    factor. Scores are positive, and their sum is the same, R, for every set of layers that cuts the network. A path
    from input to output therefore remains as long as each iteration removes less than R. By default, there are 100
    iterations with the exponential schedule. Near max compression, the last iterations may remove more.

    In a subclass with ``keep_layers = True``, each layer stays on a path from input to output, down to as many weights
    as there are layers. An iteration that would cut off a layer is undone and divided, down to single weights, and
    weights that a layer needs stay. If only such weights are left, each layer keeps one of them, and a warning says so.
    This option takes twice the memory for weights and excludes ``layer_densities``.

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic
    flow", algorithm 1 and section 6.

    Example:
        >>> from torch_synflow import prune
        >>> model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        >>> prune.global_iterative_unstructured(
        ...     model, prune.SynFlow, amount=0.9, example_inputs=torch.rand(1, 8)
        ... ).verdict
        '38 of 384 weights kept (density 0.0990, sparsity 0.9010); no layer empty'
    """

    iterations: ClassVar[int] = 100
    training: ClassVar[bool] = False
    dtype: ClassVar[torch.dtype] = torch.float64
    needs: ClassVar[tuple[str, ...]] = ("example_inputs",)
    keep_layers: ClassVar[bool] = False

    #: the modes of the forward pass; the second one is slower, for flows that overflow or vanish under the first one
    _modes: ClassVar[tuple[type[Flow], type[Flow]]] = (Flow, ScaledFlow)

    @classmethod
    def network(cls, task: Task, entries: Sequence[Entry], masks: Sequence[Tensor]) -> PositiveNetwork:
        """The positive network in float64, with weights in their own precision, or in float32 if that is wider.

        A subclass with its own :meth:`saliency` gets the weights in float64 too.
        """
        floor = torch.float32 if cls._computes_in_parts() else cls.dtype
        with ONE_AT_A_TIME, torch.inference_mode(False), torch.no_grad():
            return PositiveNetwork(task, entries, masks, cls.dtype, floor_of_weights=floor)

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """``dR/dw * w`` at the absolute values of the weights, under the surrogates of :mod:`torch_synflow.flow`.

        Raises:
            ValueError: if scores are negative, not finite, or zero for a whole layer. The message names the operation.
        """
        assert isinstance(network, PositiveNetwork)  # of the function above
        scores = cls._flow(network)
        return {name: scores.whole(n).view_as(weight) for n, (name, weight) in enumerate(network.weights.items())}

    @classmethod
    def score_entries(cls, entries: Sequence[Entry], network: Network) -> ScoreStream:
        """As for any method, but scores are computed while they are read."""
        assert isinstance(network, PositiveNetwork)
        if not cls._computes_in_parts():
            return super().score_entries(entries, network)
        scores = differentiating(network, lambda: cls._flow(network))
        if not network.sound:
            whole = [scores.whole(number) for number in range(len(entries))]
            require_finite(entries, whole, f"{cls.__name__} scores")
        return scores

    @classmethod
    def _computes_in_parts(cls) -> bool:
        """Whether scores are computed while they are read, unless a subclass has its own."""
        same: bool = cls.saliency.__func__ is SynFlowUnstructured.saliency.__func__  # type: ignore[attr-defined]
        return same

    @classmethod
    def _flow(cls, network: PositiveNetwork) -> ScoreStream:
        """The checked scores: finite, not negative, and at first not all zero in a layer on a path."""
        for mode in cls._modes:
            if network.mode is cls._modes[1] and mode is not network.mode:
                continue
            scores = network.scores(mode)
            if network.vanishing and mode is cls._modes[0]:
                continue
            if network.sound and not network.unpruned:
                return scores
            faults = {
                name: fault
                for number, name in enumerate(network.weights)
                if (fault := _fault(scores, number, zero=network.unpruned and name not in network.unused))
            }
            if not faults or not all(bool(torch.isfinite(weight).all()) for weight in network.weights.values()):
                break
        else:
            (name, fault), *_ = faults.items()
            reason = opened(network, lambda: explain(network, network.whole(), network.inputs), training=False)
            where = f"; {reason}" if reason else ""
            raise ValueError(f"{_bare(name)}: expected positive and finite SynFlow scores, got {fault}{where}")
        if network.unpruned:
            _warn(network.read_as_ones, sorted(network.unused), network.without_surrogate)
        return scores


SynFlow = SynFlowUnstructured


def _fault(scores: ScoreStream, number: int, *, zero: bool) -> str:
    """The fault of the scores of a tensor, if any. All zeros count as a fault only if ``zero`` is true."""
    extremes = [torch.stack(torch.aminmax(part)) for part, _ in scores.parts(range(number, number + 1)) if part.numel()]
    if not extremes:
        return ""
    values = torch.stack(extremes)
    least, greatest = float(values[:, 0].min()), float(values[:, 1].max())
    if not (math.isfinite(least) and math.isfinite(greatest)):
        return "NaN or infinity"
    if least < -1e-6 * abs(greatest):
        return "negative ones"
    if not zero or greatest:
        return ""
    if scores.error:  # the dtype of the parts may be too narrow for them
        scores.exactly()
        return _fault(scores, number, zero=zero)
    return "all zeros"


def _warn(zeros: Sequence[str], unused: Sequence[str], operations: Sequence[str]) -> None:
    """Name, once, the operations and parameters that are not scored unchanged."""
    parts = []
    if operations:
        parts.append(
            f"without a homogeneous surrogate, so run unchanged: {', '.join(operations)}; "
            "torch_synflow.flow.register(operation) adds a surrogate"
        )
    if zeros:
        parts.append(f"all zero, so treated as ones: {', '.join(map(_bare, zeros))}")
    if unused:
        parts.append(
            "on no path from input to output in evaluation mode, so scored zero and pruned first: "
            f"{', '.join(map(_bare, unused))}"
        )
    if parts:
        warn_user(f"SynFlow: {'; '.join(parts)}")


def _bare(name: str) -> str:
    return name.removesuffix("_orig")


def synflow_scores(
    model: nn.Module, example_inputs: ExampleInputs, parameters: Parameters | None = None
) -> dict[Pair, Tensor]:
    r"""Compute SynFlow's scores :math:`\partial R / \partial |w| \cdot |w|` of a model, in float64.

    Args:
        model: the model, which is only read.
        example_inputs: the model's inputs, with the batch as the first dimension; only shapes matter.
        parameters: ``(module, name)`` pairs, all prunable weights by default.

    Returns:
        A tensor per pair, of its parameter's shape, without a unit. Higher means keep; pruned weights score zero.

    Raises:
        TypeError: if ``example_inputs`` holds no tensor.
        ValueError: if scores are not finite, or all scores of a tensor of an unpruned model are zero.

    Source: Tanaka et al. 2020, equation 2.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
        >>> with torch.no_grad():
        ...     _ = model[0].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.5]]))
        ...     _ = model[1].weight.copy_(torch.tensor([[2.0, -1.0]]))
        >>> synflow_scores(model, torch.ones(1, 2))[model[0], "weight"].tolist()
        [[2.0, 4.0], [3.0, 0.5]]
    """
    return SynFlowUnstructured.scores(model, parameters, example_inputs=example_inputs)


def synflow_unstructured(
    module: nn.Module,
    name: str,
    amount: float,
    importance_scores: Tensor | None = None,
    *,
    model: nn.Module | None = None,
    example_inputs: ExampleInputs | None = None,
) -> nn.Module:
    """Prune one parameter by its SynFlow scores, in one step.

    For the iterative method on many parameters, use ``global_iterative_unstructured``.

    Args:
        module: the module that holds the parameter.
        name: the name of the parameter in ``module``.
        amount: how much of it to remove: a fraction of the weights not yet pruned, or a count.
        importance_scores: scores of the parameter's shape, instead of a model.
        model: the model that ``module`` belongs to.
        example_inputs: the model's inputs.

    Returns:
        ``module``, pruned.

    Raises:
        ValueError: if neither scores nor a model with its inputs is passed, or as for :func:`synflow_scores`.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> x = torch.rand(1, 4)
        >>> _ = synflow_unstructured(model[0], "weight", 5, model=model, example_inputs=x)
        >>> int(model[0].weight_mask.sum())
        7
    """
    method = SynFlowUnstructured
    if importance_scores is None:
        method = method.bind(model, example_inputs=example_inputs)  # type: ignore[arg-type]
    method.apply(module, name, amount, importance_scores=importance_scores)
    return module
