"""The l1 path norm: the sum, over all paths from an input to an output, of the product of absolute weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from torch_synflow._reporting import Report, Table
from torch_synflow.flow.passes import flow_of
from torch_synflow.flow.surrogate.mode import Flow
from torch_synflow.model.masks import entries_of
from torch_synflow.model.parameters import ExampleInputs
from torch_synflow.reachability.from_inputs import FromInputs, Inspection
from torch_synflow.scoring.gradients import as_leaves
from torch_synflow.scoring.opening import opened
from torch_synflow.scoring.task import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class PathNorm(Report):
    """The l1 path norm of a model and SynFlow's R; prints as a table.

    ``draw`` shows R as the path norm and the part that biases add.

    Attributes:
        path_norm: the sum over all paths that start at an input; infinite where it exceeds float64.
        synflow: R of SynFlow, which also counts paths that start at biases.
    """

    path_norm: float
    synflow: float

    @property
    def from_biases(self) -> float:
        """The part of R that comes from biases and other offsets. Most image networks start with zero biases."""
        return self.synflow - self.path_norm

    @property
    def verdict(self) -> str:
        """The share of R that starts at the inputs, in one line."""
        share = self.path_norm / self.synflow if 0 < self.synflow < math.inf else math.nan
        return f"paths from the inputs carry {share:.1%} of SynFlow's R"

    def _table(self) -> Table:
        rows = [["l1 path norm", f"{self.path_norm:.6g}"], ["R of SynFlow", f"{self.synflow:.6g}"]]
        return ["", "value"], rows

    def _draw(self, ax: Axes) -> None:
        ax.barh([0], [self.path_norm], label="l1 path norm")
        ax.barh([0], [self.from_biases], left=[self.path_norm], label="from biases")
        ax.set_yticks([])
        ax.set_xlabel("R of SynFlow")
        ax.legend()


class _Double(Inspection):
    dtype: ClassVar[torch.dtype] = torch.float64


def path_norm(model: nn.Module, example_inputs: ExampleInputs, *, outputs: Outputs | None = None) -> PathNorm:
    r"""Compute the l1 path norm :math:`\sum_{paths} \prod_{w} |w|` and SynFlow's R of a model.

    Args:
        model: any model, pruned or not. It is only read, in evaluation mode and under SynFlow's surrogate. BatchNorm
            scales are weights on the paths.
        example_inputs: the model's inputs; only shapes matter.
        outputs: which of the model's outputs count, as for ``prune.global_iterative_unstructured``; all by default.

    Returns:
        Both numbers. They are equal if all biases and offsets are zero.

    Raises:
        TypeError, ValueError: if the model has nothing to prune, or ``example_inputs`` is missing.

    Source: Frankle et al. 2021, appendix D.5; Tanaka et al. 2020, section 6.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1))
        >>> with torch.no_grad():
        ...     _ = model[0].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.5]]))
        ...     _ = model[2].weight.copy_(torch.tensor([[2.0, -1.0]]))
        ...     _ = model[2].bias.fill_(-0.5)
        >>> found = diagnostics.path_norm(model, torch.ones(1, 2))
        >>> found.path_norm, found.synflow  # 2 (1 + 2) + 1 (3 + 0.5), and a bias of 0.5
        (9.5, 10.0)
    """
    entries = entries_of(model)
    network = _Double.positive_network_of(model, example_inputs, entries, outputs)

    def summed(mode: type[Flow]) -> float:
        totals: list[float] = []

        class Summing(mode):  # type: ignore[misc, valid-type]
            def total(self, outputs: Any) -> torch.Tensor:
                value: torch.Tensor = super().total(outputs)
                totals.append(float(value.detach()))
                return value

        flow_of(network, network.inputs, Summing)(as_leaves(network.weights))
        return totals[-1]

    return PathNorm(*opened(network, lambda: [summed(mode) for mode in (FromInputs, Flow)], training=False))
