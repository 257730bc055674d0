"""How far a model is compressed, how far it can be, and which of its layers are empty."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import nn

from torch_synflow.model.masks import entries_of, report_of
from torch_synflow.model.parameters import ExampleInputs, Parameters
from torch_synflow.reachability.reached import reach
from torch_synflow.report import PruningReport
from torch_synflow.scoring.task import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Compression:
    """What the masks of a model keep, layer by layer; ``print`` shows a table.

    Attributes:
        report: kept, total and density of each layer, as pruning returns it.

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
        """Max compression, total / number of layers, which leaves one entry a layer."""
        return self.report.total / len(self.report.layers)

    @property
    def collapsed(self) -> tuple[str, ...]:
        """The layers with nothing kept while others keep something, but for those that are known to be bypassed."""
        report = self.report
        return tuple(name for name in report.empty_layers if name not in report.bypassed) if report.kept else ()

    @property
    def verdict(self) -> str:
        """How much is kept and how many layers are empty, in one line."""
        return self.report.verdict

    def __str__(self) -> str:
        """The report's verdict and table, and the max compression."""
        return f"{self.report}\nmax compression {self.max_ratio:.3g}"

    def draw(self, ax: Axes | None = None) -> Axes:
        """Draw the density of each layer from input to output, as figure 15 of Frankle et al. 2021.

        Args:
            ax: matplotlib axes; new ones by default.

        Returns:
            The axes, as ``report.draw`` does.

        Raises:
            ImportError: if matplotlib is not installed.
        """
        return self.report.draw(ax)


def compression(
    model: nn.Module,
    parameters: Parameters | None = None,
    *,
    example_inputs: ExampleInputs | None = None,
    outputs: Outputs | None = None,
) -> Compression:
    """What is kept of a model, whoever pruned it: compression ratio, max compression, layer collapse.

    Args:
        model: any model; a parameter without a mask of ``torch.nn.utils.prune`` is dense.
        parameters: ``(module, name)`` pairs; by default all prunable weights and whatever else has a mask.
        example_inputs: what the model is called with; with it, empty layers that a shortcut goes round are told from
            those that no path passes (layer collapse). Only shapes matter.
        outputs: which of the model's outputs count, as for ``prune.global_iterative_unstructured``; all by default.

    Returns:
        A report that prints as a verdict and a table and draws layerwise densities.

    Raises:
        TypeError, ValueError: if ``model`` is none, or has nothing prunable.

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
