"""SynFlow that keeps every branch: the branches of a sum carry equal shares of the flow."""

from __future__ import annotations

from typing import ClassVar

from torch_synflow.flow.surrogate.branches import BalancedFlow, BalancedScaledFlow
from torch_synflow.flow.surrogate.mode import Flow
from torch_synflow.methods.synflow import SynFlowUnstructured


class BalancedSynFlowUnstructured(SynFlowUnstructured):
    r"""Keep the weights that carry the most synaptic flow, each branch of a sum carrying the same share.

    SynFlow starves the branches of networks with shortcuts. A wide branch spreads its share of the flow over many
    weights, each of which scores little and goes early; then the branch carries less, and in the end nothing. Here a
    sum of :math:`k` flows is replaced, while the model is scored, by

    .. math:: y = \sum_{j=1}^k b_j \, \frac{S}{k \, s_j}, \qquad s_j = \sum_i (b_j)_i, \quad S = \sum_j s_j,

    with :math:`s_j` and :math:`S` constants that are computed again in each iteration. Each branch brings
    :math:`1/k` of what the sum hands on, however much of the branch has been pruned. With the constants held, scores
    are conserved as SynFlow's are. The parts of a concatenation have the same factors. On a network in which no flows
    meet, scores are SynFlow's, bit for bit.

    The branches are the operands of an addition or subtraction of two flows, in place or not; those of a sum that is
    itself an operand of one other sum, and of nothing else, count on their own. Equal shares also go to the tensors of
    ``torch.stack(...).sum(dim)``, to those of ``torch.cat(..., dim)`` if all carry flow and ``dim`` is not the batch,
    and to the tensors that the model returns. A branch without flow counts for none. Offsets (biases, positions, masks)
    are no branches.

    Everything else is as in :class:`SynFlowUnstructured`: evaluation mode, float64, an input of ones, 100 iterations.

    Args:
        amount: what to remove, a fraction of the entries not yet pruned or a count.

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
        >>> _ = nn.init.ones_(model.last.weight)  # which reads each element alike
        >>> scores = prune.BalancedSynFlow.scores(model, example_inputs=x)
        >>> share = scores[model.branch, "weight"].sum() / scores[model.last, "weight"].sum()
        >>> round(float(share), 6)
        0.5
    """

    _modes: ClassVar[tuple[type[Flow], type[Flow]]] = (BalancedFlow, BalancedScaledFlow)


BalancedSynFlow = BalancedSynFlowUnstructured
