"""The methods that the figures compare: what prunes, how often, with how many examples, and how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from torch_synflow import prune

EXAMPLES = 10  # of each class (Frankle et al. 2021, appendices B.2 and C.2)


class GraSPMagnitude(prune.GraSP):
    """GraSP that keeps the highest magnitudes of its scores (Frankle et al. 2021, appendix H)."""

    @classmethod
    def saliency(cls, network: Any) -> dict[str, Tensor]:
        """``abs(w * Hg)``."""
        return {name: score.abs() for name, score in super().saliency(network).items()}


class Saliency(prune.SNIP):
    """Synaptic saliency of the loss, ``dL/dw * w`` (Tanaka et al. 2020, equation 1), without batch statistics."""

    training: ClassVar[bool] = False

    @classmethod
    def saliency(cls, network: Any) -> dict[str, Tensor]:
        """``dL/dw * w``, signed."""
        gradients = network.mean_gradient(network.task.data)
        return {name: gradient * network.weights[name] for name, gradient in gradients.items()}


@dataclass(frozen=True)
class Method:
    """One way to prune.

    Attributes:
        title: its name in pictures.
        pruning_method: the class.
        colour, marker: the same in every picture; Okabe and Ito's colours, which the colour-blind tell apart.
        iterations: rounds of scoring and pruning.
        examples: of each class, 0 if it needs no data.
    """

    title: str
    pruning_method: type[prune.BasePruningMethod]
    colour: str
    marker: str
    iterations: int = 1
    examples: int = 0


METHODS = {
    "random": Method("Random", prune.RandomUnstructured, "#888888", "s"),
    "magnitude": Method("Magnitude", prune.L1Unstructured, "#CC79A7", "D"),
    "snip": Method("SNIP", prune.SNIP, "#E69F00", "^", examples=EXAMPLES),
    "grasp": Method("GraSP", prune.GraSP, "#009E73", "v", examples=EXAMPLES),
    "synflow": Method("SynFlow", prune.SynFlow, "#0072B2", "o", iterations=100),
    "iterative_snip": Method("Iterative SNIP", prune.SNIP, "#D55E00", "P", iterations=100, examples=EXAMPLES),
    "grasp_magnitude": Method("GraSP, lowest magnitude pruned", GraSPMagnitude, "#56B4E9", "X", examples=EXAMPLES),
    "saliency": Method("dL/dw * w", Saliency, "#F0E442", "*", examples=EXAMPLES),
}
FIVE = ("random", "magnitude", "snip", "grasp", "synflow")


def inverted(method: type[prune.BasePruningMethod]) -> type[prune.BasePruningMethod]:
    """The method that removes what this one would keep (Frankle et al. 2021, section 5)."""
    if issubclass(method, prune.SaliencyUnstructured):

        class Inverted(method):  # type: ignore[misc,valid-type]
            @classmethod
            def saliency(cls, network: Any) -> dict[str, Tensor]:
                return {name: -score for name, score in super().saliency(network).items()}

        return Inverted
    if method is not prune.L1Unstructured:
        raise ValueError(f"ablation: expected a method with scores to invert, got {method.__name__}")

    class LargestRemoved(prune.L1Unstructured):
        def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
            return super().compute_mask(t.abs().max() - t.abs(), default_mask)

    return LargestRemoved


def shuffle(pairs: Sequence[tuple[nn.Module, str]], generator: torch.Generator) -> None:
    """Shuffle each mask within its layer."""
    for module, name in pairs:
        mask = getattr(module, f"{name}_mask")
        order = torch.randperm(mask.numel(), generator=generator).to(mask.device)
        mask.copy_(mask.reshape(-1)[order].view_as(mask))
