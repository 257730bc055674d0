"""The compression ratio at which a method empties a layer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from torch_synflow._reporting import Report, Table
from torch_synflow._warnings import EmptiedLayersWarning
from torch_synflow.model.masks import masked_entries_of, report_of
from torch_synflow.model.parameters import Parameters, unwrap
from torch_synflow.model.transaction import Snapshot, all_or_nothing

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class CriticalCompression(Report):
    """The highest compression ratio of a method before a layer is empty, bracketed by bisection.

    Empty layers that a shortcut bypasses count too. ``draw`` shows the ratios up to the critical one as a bar, and max
    compression as a line.

    Attributes:
        ratio: the highest compression ratio without an empty layer in any trial.
        collapse: the lowest ratio with an empty layer, ``None`` if max compression was reached.
        max_ratio: max compression, total / number of layers.
        first_empty: the layers that are empty at ``collapse``.
        trials: the number of times that the model was pruned.
    """

    ratio: float
    collapse: float | None
    max_ratio: float
    first_empty: tuple[str, ...]
    trials: int

    @property
    def verdict(self) -> str:
        """The critical compression, in one line."""
        return f"no layer is empty up to a compression ratio of {self.ratio:.4g} (max compression {self.max_ratio:.4g})"

    def _table(self) -> Table:
        """The ratios and their log10."""
        rows = [["critical compression", f"{self.ratio:.4g}", f"{math.log10(self.ratio):.2f}", ""]]
        if self.collapse is not None:
            where = ", ".join(self.first_empty)
            rows.append(["first empty at", f"{self.collapse:.4g}", f"{math.log10(self.collapse):.2f}", where])
        rows.append(["max compression", f"{self.max_ratio:.4g}", f"{math.log10(self.max_ratio):.2f}", ""])
        return ["", "ratio", "log10", ""], rows

    def _draw(self, ax: Axes) -> None:
        ax.barh([0], [self.ratio - 1], left=1, label="no layer empty")
        ax.axvline(self.max_ratio, color="0.3", linestyle="--", label="max compression")
        ax.set_xscale("log")
        ax.set_xlim(1, 2 * self.max_ratio)
        ax.set_yticks([])
        ax.set_xlabel("compression ratio")
        ax.legend()


def critical_compression(
    model: nn.Module,
    prune: Callable[[int], object],
    parameters: Parameters | None = None,
    *,
    tolerance: float = 0.01,
) -> CriticalCompression:
    """Find the highest compression ratio that a method reaches without an empty layer, by bisection.

    Each trial prunes the model from its current state and then restores it. Torch's random state is restored too, so
    random methods draw the same numbers in each trial.

    Args:
        model: the model, which is restored at the end.
        prune: a function that prunes the given number of weights by any method, such as ``lambda amount:
            prune.global_iterative_unstructured(model, prune.SNIP, amount, data=batch, loss_fn=loss)``.
        parameters: ``(module, name)`` pairs in which layers are counted; by default all prunable weights and every
            other parameter with a mask.
        tolerance: the largest distance, in log10 of the ratio, between the highest ratio without an empty layer
            and the lowest ratio with one; 0 is exact.

    Returns:
        The critical compression, which prints as a table.

    Raises:
        ValueError: if the model has an empty layer before pruning, or ``prune`` keeps a different number of weights.

    Source: Tanaka et al. 2020, section 3 (critical compression) and figure 1.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        >>> x = torch.ones(1, 8)
        >>> found = diagnostics.critical_compression(
        ...     model,
        ...     lambda amount: prune.global_iterative_unstructured(
        ...         model, prune.SynFlow, amount, example_inputs=x
        ...     ),
        ... )
        >>> found.ratio, found.max_ratio, found.collapse
        (192.0, 192.0, None)
    """
    if not callable(prune):
        raise TypeError(f"prune: expected a function that prunes a given number of weights, got {prune!r}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance: expected a number of at least 0, in log10 of the ratio, got {tolerance}")
    before = report_of(masked_entries_of(model, parameters))
    if before.empty_layers:
        raise ValueError(
            f"{before.empty_layers[0]}: expected a model without empty layers, got one in which this layer is empty"
        )
    snapshot = Snapshot([model])
    trials = 0

    def empty_layers(kept: int) -> tuple[str, ...]:
        nonlocal trials
        trials += 1
        try:
            with torch.random.fork_rng(), warnings.catch_warnings():
                warnings.simplefilter("ignore", EmptiedLayersWarning)  # as intended here
                prune(before.kept - kept)
                after = report_of(masked_entries_of(unwrap(model), parameters))
        finally:
            snapshot.restore()
        if after.kept != kept:
            raise ValueError(
                f"prune: expected {kept} weights kept after removing {before.kept - kept}, got {after.kept}"
            )
        return after.empty_layers

    def search() -> CriticalCompression:
        layers, total = len(before.layers), before.total
        # survives: the lowest count known not to empty a layer; empties: the highest count known to empty one
        survives, empties = before.kept, layers - 1
        collapsed: tuple[str, ...] = ()
        candidate = layers
        while survives - empties > 1 and (not collapsed or math.log10(survives / empties) > tolerance):
            empty = empty_layers(candidate)
            if empty:
                empties, collapsed = candidate, empty
            else:
                survives = candidate
            candidate = min(max(round(math.sqrt(survives * empties)), empties + 1), survives - 1)
        return CriticalCompression(
            ratio=total / survives,
            collapse=total / empties if collapsed else None,
            max_ratio=total / layers,
            first_empty=collapsed,
            trials=trials,
        )

    return all_or_nothing([model], search)  # if an interrupt ends a restoration
