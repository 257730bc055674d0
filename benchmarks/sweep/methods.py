"""The methods that the figures compare, with their iterations, numbers of examples, and looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from torch_synflow import prune
from torch_synflow.budget.allocation import LayerDensities
from torch_synflow.flow.surrogate.branches import BalancedFlow, BalancedScaledFlow, Shares
from torch_synflow.flow.surrogate.mode import Flow

EXAMPLES = 10  # of each class (Frankle et al. 2021, appendices B.2 and C.2)


class EvaluationSaliency(prune.SynapticSaliency):
    """Synaptic saliency of the loss, ``dL/dw * w``, by BatchNorm's running statistics.

    Those of the batch would depend on the weights, and sum the scores into each unit to zero (Tanaka et al. 2020,
    section 4 and appendix 10).
    """

    training: ClassVar[bool] = False


class EvaluationSNIP(prune.SNIP):
    """SNIP in evaluation mode, as in the figures of Tanaka et al. 2020 before their rebuttal."""

    training: ClassVar[bool] = False


class EvaluationGraSP(prune.GraSP):
    """GraSP in evaluation mode, as in the figures of Tanaka et al. 2020 before their rebuttal."""

    training: ClassVar[bool] = False


def with_shares(rule: Shares) -> type[prune.BalancedSynFlow]:
    """BalancedSynFlow in which the branches of a sum have other shares than equal ones."""

    class Shared(BalancedFlow):
        shares = staticmethod(rule)

    class SharedScaled(BalancedScaledFlow):
        shares = staticmethod(rule)

    class SharedSynFlow(prune.BalancedSynFlow):
        _modes: ClassVar[tuple[type[Flow], type[Flow]]] = (Shared, SharedScaled)

    return SharedSynFlow


def floor(part: float) -> Shares:
    """Shares of at least this part of an equal share, and its own share of the rest for each branch."""
    return lambda carried, counts: part * counts / counts.sum() + (1 - part) * carried / carried.sum()


def root(carried: Tensor, counts: Tensor) -> Tensor:
    """Shares in proportion to the square root of what each branch carries."""
    return (carried * counts).sqrt()


def starving(part: float) -> Shares:
    """Equal shares while some branch carries less than this part of an equal share, and own shares otherwise."""

    def rule(carried: Tensor, counts: Tensor) -> Tensor:
        starves = (carried / carried.sum() < part * counts / counts.sum()).any()
        return torch.where(starves, counts.to(carried), carried)

    return rule


@dataclass(frozen=True)
class Method:
    """One way to prune.

    Attributes:
        title: its name in pictures.
        pruning_method: the class.
        colour, marker: the same in every picture; Okabe and Ito's colours, which the colour-blind tell apart, and two
            that they tell from those.
        iterations: rounds of scoring and pruning.
        examples: of each class, 0 if it needs no data.
        layer_densities: a rule for how much of each layer is kept, if the method does not decide that.
        for_trained: whether it was made for trained networks, so that figures prune with it after training too.
    """

    title: str
    pruning_method: type[prune.BasePruningMethod]
    colour: str
    marker: str
    iterations: int = 1
    examples: int = 0
    layer_densities: LayerDensities | None = None
    for_trained: bool = False


METHODS = {
    "random": Method("Random", prune.RandomUnstructured, "#888888", "s"),
    "magnitude": Method("Magnitude", prune.L1Unstructured, "#CC79A7", "D"),
    "snip": Method("SNIP", prune.SNIP, "#E69F00", "^", examples=EXAMPLES),
    "grasp": Method("GraSP", prune.GraSP, "#009E73", "v", examples=EXAMPLES),
    "snip_evaluation": Method("SNIP, evaluation mode", EvaluationSNIP, "#B37700", "<", examples=EXAMPLES),
    "grasp_evaluation": Method("GraSP, evaluation mode", EvaluationGraSP, "#006B4F", ">", examples=EXAMPLES),
    "synflow": Method("SynFlow", prune.SynFlow, "#0072B2", "o", iterations=100),
    "balanced": Method("BalancedSynFlow", prune.BalancedSynFlow, "#117733", "h", iterations=100),
    "floor_half": Method("SynFlow, floor of 0.5", with_shares(floor(0.5)), "#6A3D9A", "H", iterations=100),
    "floor_tenth": Method("SynFlow, floor of 0.1", with_shares(floor(0.1)), "#A6761D", "d", iterations=100),
    "root": Method("SynFlow, shares by roots", with_shares(root), "#8C564B", "*", iterations=100),
    "starving": Method("SynFlow, balanced at need", with_shares(starving(0.1)), "#1B9E77", "8", iterations=100),
    "erk": Method("Random, ERK", prune.RandomUnstructured, "#555555", "X", layer_densities=prune.erk),
    "iterative_snip": Method("Iterative SNIP", prune.IterativeSNIP, "#D55E00", "P", iterations=100, examples=EXAMPLES),
    "grasp_magnitude": Method("GraSP by magnitude", prune.GraSPMagnitude, "#56B4E9", "X", examples=EXAMPLES),
    "saliency": Method("dL/dw * w", EvaluationSaliency, "#F0E442", "*", examples=EXAMPLES),
    "force": Method("FORCE", prune.FORCE, "#920000", "<", iterations=60, examples=EXAMPLES),
    "iterative_grasp": Method("Iterative GraSP", prune.GraSP, "#7FBC41", "p", iterations=100, examples=EXAMPLES),
    "damage": Method(
        "Optimal Brain Damage", prune.OptimalBrainDamage, "#DC267F", "d", examples=EXAMPLES, for_trained=True
    ),
    "grasp_it": Method("GraSP-It", prune.GraSPIt, "#B66DFF", ">", iterations=60, examples=EXAMPLES),
}
FIVE = ("random", "magnitude", "snip", "grasp", "synflow")
#: of other papers (de Jorge et al. 2020, LeCun et al. 1990), GraSP scored again as it prunes, and balanced sums
#: with other shares: figures that compare methods show them when they are asked for by name
LATER = ("force", "grasp_it", "iterative_grasp", "damage", "floor_half", "floor_tenth", "root", "starving")
