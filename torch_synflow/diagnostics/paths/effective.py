"""Effective sparsity: the sparsity that also counts kept weights on no path from input to output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from torch_synflow._drawing import bar_positions, fractions
from torch_synflow._reporting import Report, Table
from torch_synflow.model.masks import entries_of
from torch_synflow.model.parameters import ExampleInputs, Pair, Parameters
from torch_synflow.reachability.reached import reach
from torch_synflow.scoring.task import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class EffectiveLayer:
    """The kept weights of one tensor, and how many of them are effective.

    Attributes:
        name: its qualified name.
        effective: the number of weights on a path from an input to an output.
        kept: the number of weights that the mask keeps.
        total: the number of weights, including pruned ones.
    """

    name: str
    effective: int
    kept: int
    total: int


@dataclass(frozen=True, repr=False)
class EffectiveSparsity(Report):
    """The kept weights, and how many of them are on a path from an input to an output; prints as a table.

    ``draw`` shows the kept and the effective fraction of each layer.

    Attributes:
        layers: one per tensor.
    """

    layers: tuple[EffectiveLayer, ...]

    @property
    def effective(self) -> int:
        """The number of weights on a path."""
        return sum(layer.effective for layer in self.layers)

    @property
    def kept(self) -> int:
        """The number of weights that the masks keep."""
        return sum(layer.kept for layer in self.layers)

    @property
    def total(self) -> int:
        """The number of weights, including pruned ones."""
        return sum(layer.total for layer in self.layers)

    @property
    def actual_sparsity(self) -> float:
        """The fraction of weights that the masks remove."""
        return 1 - self.kept / self.total

    @property
    def effective_sparsity(self) -> float:
        """The fraction of weights that are removed or on no path."""
        return 1 - self.effective / self.total

    @property
    def verdict(self) -> str:
        """The densities on a path and in the masks, in one line."""
        on_paths, kept = self.effective_sparsity, self.actual_sparsity
        return (
            f"{self.effective:,} of {self.total:,} weights on a path (density {1 - on_paths:.4f}, sparsity "
            f"{on_paths:.4f}), {self.kept:,} kept (density {1 - kept:.4f}, sparsity {kept:.4f})"
        )

    def _table(self) -> Table:
        """One line per tensor, then the sum."""
        rows = [(layer.name, layer.effective, layer.kept, layer.total) for layer in self.layers]
        rows.append(("all", self.effective, self.kept, self.total))
        cells = [
            [name, f"{effective:,}", f"{kept:,}", f"{total:,}", _percent(kept, total), _percent(effective, total)]
            for name, effective, kept, total in rows
        ]
        return ["layer", "effective", "kept", "total", "sparsity", "effective sparsity"], cells

    def _draw(self, ax: Axes) -> None:
        places = bar_positions(ax, [layer.name.removesuffix(".weight") for layer in self.layers])
        kept = [layer.kept / max(layer.total, 1) for layer in self.layers]
        effective = [layer.effective / max(layer.total, 1) for layer in self.layers]
        ax.bar(places, kept, color="0.8", label="kept")
        ax.bar(places, effective, width=0.5, label="on a path")
        fractions(ax, [*kept, *effective], "density")
        ax.legend()


def _percent(part: int, total: int) -> str:
    return f"{100 * (1 - part / total) if total else 0:.3f}%"


def effective_sparsity(
    model: nn.Module,
    example_inputs: ExampleInputs,
    parameters: Parameters | None = None,
    *,
    outputs: Outputs | None = None,
) -> EffectiveSparsity:
    """Count the kept weights that are on a path from an input to an output.

    Kept weights count as ones, and a weight is effective if the gradient of the sum of the outputs is positive there.
    The count is exact: values and gradients are boolean, biases are left out because a path starts at an input, and a
    maximum can choose any of its elements. A plain gradient would reach only the chosen one. The shape of the input
    matters: the rim of a kernel that sees only padding is on no path.

    Args:
        model: any model, pruned or not. It is only read.
        example_inputs: the model's inputs, with the batch as the first dimension; only shapes matter.
        parameters: ``(module, name)`` pairs; by default all prunable weights and every other parameter with a mask.
        outputs: which of the model's outputs count, as for ``prune.global_iterative_unstructured``; all by default.

    Returns:
        A report that prints as a table. In an unpruned model with all paths open, all weights are effective. If a layer
        that every path passes is empty, no weight is effective.

    Raises:
        TypeError, ValueError: if the model has nothing to prune, or ``example_inputs`` is missing.

    Source: Frankle et al. 2021, appendix M.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> first, second = torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.tensor([[1, 0]])
        >>> _ = prune.custom_from_mask(model[0], "weight", first)
        >>> # the second neuron leads nowhere
        >>> _ = prune.custom_from_mask(model[2], "weight", second)
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
    """Find the weights that are on a path from an input to an output.

    Args:
        model: any model, pruned or not. It is only read.
        example_inputs: the model's inputs; only shapes matter.
        parameters: ``(module, name)`` pairs; by default all prunable weights and every other parameter with a mask.
        outputs: which of the model's outputs count, as for ``prune.global_iterative_unstructured``; all by default.

    Returns:
        A boolean tensor per pair, of its parameter's shape, which is true where a path leads through a kept weight.

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
