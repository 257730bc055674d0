"""The compression ratio of a model, its maximum, and the empty layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import nn

from torch_synflow._reporting import Report, Table
from torch_synflow.model.masks import entries_of, report_of
from torch_synflow.model.parameters import ExampleInputs, Parameters
from torch_synflow.reachability.reached import reach
from torch_synflow.report import PruningReport
from torch_synflow.scoring.task import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class Compression(Report):
    """The weights that the masks of a model keep, layer by layer; prints as a table.

    ``draw`` shows the density of each layer from input to output, as in figure 15 of Frankle et al. 2021.

    Attributes:
        report: kept, total and density of each layer, like the report of a pruning call.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> _ = prune.random_unstructured(model[0], "weight", amount=12)
        >>> state = diagnostics.compression(model)
        >>> state.ratio, state.max_ratio, state.collapsed
        (3.0, 9.0, ('0.weight',))
    """

    report: PruningReport

    @property
    def ratio(self) -> float:
        """The compression ratio, total / kept; infinite when nothing is kept."""
        return self.report.compression_ratio

    @property
    def max_ratio(self) -> float:
        """Max compression, total / number of layers, at which each layer keeps one weight."""
        return self.report.total / len(self.report.layers)

    @property
    def collapsed(self) -> tuple[str, ...]:
        """The layers with nothing kept while others keep weights, except for layers that are known to be bypassed."""
        report = self.report
        return tuple(name for name in report.empty_layers if name not in report.bypassed) if report.kept else ()

    @property
    def verdict(self) -> str:
        """The density and the number of empty layers, in one line."""
        return self.report.verdict

    def _table(self) -> Table:
        return self.report._table()

    def _notes(self) -> Sequence[str]:
        return (f"max compression {self.max_ratio:.3g}",)

    def _draw(self, ax: Axes) -> None:
        self.report._draw(ax)


def compression(
    model: nn.Module,
    parameters: Parameters | None = None,
    *,
    example_inputs: ExampleInputs | None = None,
    outputs: Outputs | None = None,
) -> Compression:
    """Report the compression ratio, the max compression and the layer collapse of a model.

    Args:
        model: any model. A parameter without a mask of ``torch.nn.utils.prune`` counts as dense.
        parameters: ``(module, name)`` pairs; by default all prunable weights and every other parameter with a mask.
        example_inputs: the model's inputs; only shapes matter. With them, the report distinguishes empty layers that a
            shortcut bypasses from empty layers that cut all paths (layer collapse).
        outputs: which of the model's outputs count, as for ``prune.global_iterative_unstructured``; all by default.

    Returns:
        A report that prints as a verdict and a table. Its ``draw()`` plots the density of each layer.

    Raises:
        TypeError, ValueError: if ``model`` is not a module, or has nothing to prune.

    Source: Tanaka et al. 2020, section 3; layerwise proportions: Frankle et al. 2021, appendix J, figure 15.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> _ = prune.l1_unstructured(model[0], "weight", amount=9)
        >>> state = diagnostics.compression(model)
        >>> state.report.densities, state.ratio
        ({'0.weight': 0.25, '2.weight': 1.0}, 2.0)
    """
    entries = entries_of(model, parameters)
    report = report_of(entries)
    if example_inputs is not None:
        reached = reach(model, example_inputs, entries, outputs)
        report = replace(report, bypassed=reached.bypassed, collapsed=reached.collapsed)
    return Compression(report)
