"""The effect of shuffling masks within layers on effective sparsity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from torch_synflow._drawing import bar_positions, fractions
from torch_synflow._reporting import Report, Table
from torch_synflow.ablations import shuffle_masks
from torch_synflow.diagnostics.paths.effective import EffectiveSparsity, effective_sparsity
from torch_synflow.model.parameters import ExampleInputs, Parameters
from torch_synflow.model.transaction import unchanged
from torch_synflow.scoring.task import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class ShuffledEffect(Report):
    """Effective parameters before and after the masks are shuffled within layers.

    ``draw`` shows the effective weights of each layer before and after, side by side.

    Attributes:
        before: the counts of the model as it is.
        after: the counts with shuffled masks.
    """

    before: EffectiveSparsity
    after: EffectiveSparsity

    @property
    def ratio(self) -> float:
        """Effective parameters after / before, as in figure 16; infinite if there are some after and none before."""
        if self.before.effective:
            return self.after.effective / self.before.effective
        return math.inf if self.after.effective else 1.0

    @property
    def verdict(self) -> str:
        """The number of effective parameters after shuffling, in one line."""
        counts = f"{self.after.effective:,} of {self.after.kept:,} kept"
        return f"effective parameters after shuffling: {counts}, {self.ratio:.2f} times as many as before"

    def _table(self) -> Table:
        """The two counts."""
        rows = [["as pruned", f"{self.before.effective:,}", f"{self.before.kept:,}"]]
        rows.append(["shuffled", f"{self.after.effective:,}", f"{self.after.kept:,}"])
        return ["masks", "effective", "kept"], rows

    def _draw(self, ax: Axes) -> None:
        places = bar_positions(ax, [layer.name.removesuffix(".weight") for layer in self.before.layers])
        shown: list[float] = []
        for shift, label, effect in ((-0.2, "as pruned", self.before), (0.2, "shuffled", self.after)):
            densities = [layer.effective / max(layer.total, 1) for layer in effect.layers]
            ax.bar([place + shift for place in places], densities, width=0.4, label=label)
            shown += densities
        fractions(ax, shown, "effective / total")
        ax.legend()


def shuffled_effect(
    model: nn.Module,
    example_inputs: ExampleInputs,
    parameters: Parameters | None = None,
    *,
    generator: torch.Generator | None = None,
    outputs: Outputs | None = None,
) -> ShuffledEffect:
    """Count the weights that shuffling masks within layers brings back to a path.

    Args:
        model: a pruned model, which is restored at the end.
        example_inputs: the model's inputs; only shapes matter.
        parameters: pruned ``(module, name)`` pairs; by default all that have a mask.
        generator: the source of the permutations; torch's global generator by default.
        outputs: which of the model's outputs count, as for ``prune.global_iterative_unstructured``; all by default.

    Returns:
        Effective parameters before and after, and their ratio.

    Raises:
        ValueError: if nothing is pruned.

    Source: Frankle et al. 2021, appendix M and figure 16.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> _ = prune.custom_from_mask(model[0], "weight", torch.tensor([[1, 1, 0], [1, 1, 1]]))
        >>> _ = prune.custom_from_mask(model[2], "weight", torch.tensor([[1, 0]]))
        >>> x, draws = torch.rand(1, 3), torch.Generator().manual_seed(1)
        >>> print(diagnostics.shuffled_effect(model, x, generator=draws))
        effective parameters after shuffling: 4 of 6 kept, 1.33 times as many as before
        masks      effective  kept
        as pruned          3     6
        shuffled           4     6
    """
    before = effective_sparsity(model, example_inputs, parameters, outputs=outputs)

    def shuffle_and_look() -> EffectiveSparsity:
        shuffle_masks(model, parameters, generator=generator)
        return effective_sparsity(model, example_inputs, parameters, outputs=outputs)

    return ShuffledEffect(before, unchanged(model, shuffle_and_look))
