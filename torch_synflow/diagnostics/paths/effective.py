"""Effective sparsity: what is left when the entries that no path from input to output uses go too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from torch_synflow._drawing import axes, bar_positions, fractions
from torch_synflow._table import table
from torch_synflow.model.masks import entries_of
from torch_synflow.model.parameters import ExampleInputs, Pair, Parameters
from torch_synflow.reachability.reached import reach
from torch_synflow.scoring.task import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class EffectiveLayer:
    """What is kept of one tensor, and how much of that is of use.

    Attributes:
        name: its qualified name.
        effective: entries that a path from an input to an output uses.
        kept: entries that the mask keeps.
        total: entries in all.
    """

    name: str
    effective: int
    kept: int
    total: int


@dataclass(frozen=True)
class EffectiveSparsity:
    """How many entries are kept, and how many of them a path from an input to an output uses; prints as a table.

    Attributes:
        layers: one a tensor.
    """

    layers: tuple[EffectiveLayer, ...]

    @property
    def effective(self) -> int:
        """Entries that a path uses."""
        return sum(layer.effective for layer in self.layers)

    @property
    def kept(self) -> int:
        """Entries that the masks keep."""
        return sum(layer.kept for layer in self.layers)

    @property
    def total(self) -> int:
        """Entries in all."""
        return sum(layer.total for layer in self.layers)

    @property
    def actual_sparsity(self) -> float:
        """The fraction of entries that the masks remove."""
        return 1 - self.kept / self.total

    @property
    def effective_sparsity(self) -> float:
        """The fraction of entries that are removed or that no path uses."""
        return 1 - self.effective / self.total

    @property
    def verdict(self) -> str:
        """How much is on a path and how much is kept, in one line."""
        on_paths, kept = self.effective_sparsity, self.actual_sparsity
        return (
            f"{self.effective:,} of {self.total:,} weights on a path (density {1 - on_paths:.4f}, sparsity "
            f"{on_paths:.4f}), {self.kept:,} kept (density {1 - kept:.4f}, sparsity {kept:.4f})"
        )

    def __str__(self) -> str:
        """The verdict, and a table: a line per tensor, then the sum."""
        rows = [(layer.name, layer.effective, layer.kept, layer.total) for layer in self.layers]
        rows.append(("all", self.effective, self.kept, self.total))
        cells = [
            [name, f"{effective:,}", f"{kept:,}", f"{total:,}", _percent(kept, total), _percent(effective, total)]
            for name, effective, kept, total in rows
        ]
        return "\n".join(
            [self.verdict, table(["layer", "effective", "kept", "total", "sparsity", "effective sparsity"], cells)]
        )

    def draw(self, ax: Axes | None = None) -> Axes:
        """Draw what is kept of each layer, and what of that is effective, as fractions of the layer.

        Args:
            ax: matplotlib axes; new ones by default.

        Returns:
            The axes.
        """
        ax = axes(ax)
        places = bar_positions(ax, [layer.name.removesuffix(".weight") for layer in self.layers])
        kept = [layer.kept / max(layer.total, 1) for layer in self.layers]
        effective = [layer.effective / max(layer.total, 1) for layer in self.layers]
        ax.bar(places, kept, color="0.8", label="kept")
        ax.bar(places, effective, width=0.5, label="on a path")
        fractions(ax, [*kept, *effective], "density")
        ax.legend()
        return ax


def _percent(part: int, total: int) -> str:
    return f"{100 * (1 - part / total) if total else 0:.3f}%"


def effective_sparsity(
    model: nn.Module,
    example_inputs: ExampleInputs,
    parameters: Parameters | None = None,
    *,
    outputs: Outputs | None = None,
) -> EffectiveSparsity:
    """Count the kept entries that some path from an input to an output uses.

    Kept weights are read as ones, and an entry counts if the gradient of the sum of the outputs is positive there.
    Exact: values and gradients are boolean, biases are left out (a path starts at an input), a maximum may
    choose any of its entries, where a gradient reaches only the one that it did choose. The shape of the input
    matters: the rim of a kernel that only ever sees padding is on no path.

    Args:
        model: any model, pruned or not; it is only read.
        example_inputs: what it is called with, the first dimension being the batch; only shapes matter.
        parameters: ``(module, name)`` pairs; by default all prunable weights and whatever else has a mask.
        outputs: which of the model's outputs count, as for ``prune.global_iterative_unstructured``; all by default.

    Returns:
        A report that prints as a table. On an unpruned model that all paths are open in, all entries are effective;
        on one in which a layer that cuts is empty, none is.

    Raises:
        TypeError, ValueError: if the model has nothing prunable, or no example input is given.

    Source: Frankle et al. 2021, appendix M.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> first, second = torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.tensor([[1, 0]])
        >>> _ = prune.custom_from_mask(model[0], "weight", first)
        >>> _ = prune.custom_from_mask(model[2], "weight", second)  # the second neuron leads nowhere
        >>> print(diagnostics.effective_sparsity(model, torch.rand(1, 3)))
        3 of 8 weights on a path (density 0.3750, sparsity 0.6250), 6 kept (density 0.7500, sparsity 0.2500)
        layer     effective  kept  total  sparsity  effective sparsity
        0.weight          2     5      6   16.667%             66.667%
        2.weight          1     1      2   50.000%             50.000%
        all               3     6      8   25.000%             62.500%
    """
    reached = reach(model, example_inputs, entries_of(model, parameters), outputs)
    return EffectiveSparsity(
        tuple(
            EffectiveLayer(entry.label, int(used.sum()), entry.alive, entry.total)
            for entry, used in zip(reached.entries, reached.used, strict=True)
        )
    )


def effective_masks(
    model: nn.Module,
    example_inputs: ExampleInputs,
    parameters: Parameters | None = None,
    *,
    outputs: Outputs | None = None,
) -> dict[Pair, Tensor]:
    """Which entries some path from an input to an output uses.

    Args:
        model: any model, pruned or not; it is only read.
        example_inputs: what it is called with; only shapes matter.
        parameters: ``(module, name)`` pairs; by default all prunable weights and whatever else has a mask.
        outputs: which of the model's outputs count, as for ``prune.global_iterative_unstructured``; all by default.

    Returns:
        For each pair a boolean tensor of its parameter's shape, true where a path leads through a kept entry.

    Raises:
        TypeError, ValueError: as :func:`effective_sparsity`.

    Source: Frankle et al. 2021, appendix M.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> _ = prune.custom_from_mask(model[2], "weight", torch.tensor([[1, 0]]))
        >>> used = diagnostics.effective_masks(model, torch.rand(1, 2))
        >>> used[model[0], "weight"].tolist()  # nothing reads the second hidden neuron
        [[True, True], [False, False]]
    """
    reached = reach(model, example_inputs, entries_of(model, parameters), outputs)
    return {pair: used for entry, used in zip(reached.entries, reached.used, strict=True) for pair in entry.locations}
