"""SynFlow that keeps every branch by giving the branches of a sum equal shares of the flow."""

from __future__ import annotations

from typing import ClassVar

from torch_synflow.flow.surrogate.branches import BalancedFlow, BalancedScaledFlow
from torch_synflow.flow.surrogate.mode import Flow
from torch_synflow.methods.synflow import SynFlowUnstructured


class BalancedSynFlowUnstructured(SynFlowUnstructured):
    r"""Keep the weights that carry the most synaptic flow, with an equal share for each branch of a sum.

    SynFlow starves the branches of networks with shortcuts. A wide branch spreads its share of the flow over many
    weights, so each scores little and is pruned early. The branch then carries less, and in the end nothing. While this
    method scores the model, it replaces a sum of :math:`k` flows by

    .. math:: y = \sum_{j=1}^k b_j \, \frac{S}{k \, s_j}, \qquad s_j = \sum_i (b_j)_i, \quad S = \sum_j s_j,

    where :math:`s_j` and :math:`S` are constants that each iteration computes again. Each branch contributes
    :math:`1/k` of the sum, however much of the branch has been pruned. For fixed constants, scores are conserved as
    SynFlow's are. The parts of a concatenation have the same factors. On a network in which no flows meet, the scores
    are SynFlow's, bit for bit.

    The branches are the operands of an addition or subtraction of two flows, in place or not. If a sum is an operand of
    exactly one other sum, and nothing else reads it, its branches count one by one. Equal shares also go to the tensors
    of ``torch.stack(...).sum(dim)``, to those of ``torch.cat(..., dim)`` if all carry flow and ``dim`` is not the
    batch, and to the outputs of the model. A branch without flow does not count. Offsets (biases, positions, masks) are
    not branches.

    Everything else is as in :class:`SynFlowUnstructured`: evaluation mode, float64, an input of ones, and 100
    iterations.

    Args:
        amount: how much to remove: a fraction of the weights not yet pruned, or a count.

    Source: this package. The scores and the iterations are those of Tanaka et al. 2020, algorithm 1.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from torch_synflow import prune
        >>> class Residual(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.branch = nn.Linear(4, 4, bias=False)
        ...         self.last = nn.Linear(4, 2, bias=False)
        ...
        ...     def forward(self, x):
        ...         return self.last(x + self.branch(x))
        >>> model, x = Residual(), torch.ones(1, 4)
        >>> _ = nn.init.ones_(model.last.weight)  # reads all elements alike
        >>> scores = prune.BalancedSynFlow.scores(model, example_inputs=x)
        >>> share = scores[model.branch, "weight"].sum() / scores[model.last, "weight"].sum()
        >>> round(float(share), 6)
        0.5
    """

    _modes: ClassVar[tuple[type[Flow], type[Flow]]] = (BalancedFlow, BalancedScaledFlow)


BalancedSynFlow = BalancedSynFlowUnstructured
