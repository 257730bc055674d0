"""Whether a pruned model can train: where its input stops, outputs without a path, and blocks without one side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from torch_synflow._drawing import bar_positions, fractions
from torch_synflow._reporting import Report
from torch_synflow._warnings import warn_user
from torch_synflow.model.masks import entries_of
from torch_synflow.model.parameters import ExampleInputs, Parameters
from torch_synflow.reachability.reached import Reached, reach
from torch_synflow.report import empty_in_words
from torch_synflow.scoring.task import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class Trainability(Report):
    """Whether the input reaches the outputs; prints a verdict, then each problem and its place.

    ``draw`` shows the fraction of each layer on a path, and where the input stops.

    Attributes:
        layers: the names of the tensors that were checked.
        effective: for each tensor, the fraction of its weights on a path from an input to an output.
        stopped_at: the layers that the input reaches and does not leave.
        empty_layers: the layers with nothing kept.
        bypassed: the empty layers that a shortcut bypasses, so the input reaches an output without them.
        collapsed: the empty layers without which the input reaches no output that they lead to (layer collapse).
        reached: the number of output elements that the input reaches.
        outputs: the number of output elements of one example.
        residual: the skip paths and branches that residual blocks have lost.
    """

    layers: tuple[str, ...]
    effective: tuple[float, ...]
    stopped_at: tuple[str, ...]
    empty_layers: tuple[str, ...]
    bypassed: tuple[str, ...]
    collapsed: tuple[str, ...]
    reached: int
    outputs: int
    residual: tuple[str, ...]

    @property
    def can_train(self) -> bool:
        """Whether there is a path from the input to any output."""
        return self.reached > 0

    @property
    def problems(self) -> tuple[str, ...]:
        """The reasons why the model, or some of its outputs, cannot learn from the input."""
        if self.reached == 0:
            empty = [name for name in self.stopped_at if name in self.empty_layers]
            if empty:
                where = f"no path from the input to any output: {', '.join(empty)} kept nothing and cuts the model"
            elif self.stopped_at:
                where = f"no path from the input to any output: the input stops at {', '.join(self.stopped_at)}"
            else:
                where = "no path from the input to any output"
            return (where,)
        if self.reached < self.outputs:
            missing = self.outputs - self.reached
            return (f"no path from the input to {missing:,} of {self.outputs:,} outputs of an example",)
        return ()

    @property
    def verdict(self) -> str:
        """Whether the model can train, and the number of empty layers, in one line."""
        learns = "every output has a path from the input"
        if self.problems:
            learns = "can train in part" if self.can_train else "cannot train"
        return f"{learns}; {empty_in_words(len(self.layers), self.empty_layers, self.bypassed, self.collapsed)}"

    def _notes(self) -> Sequence[str]:
        """One line per finding."""
        lines = [*self.problems, *self.residual]
        named = set(re.findall(r"[^\s,();]+", "\n".join([self.verdict, *lines])))
        states = dict.fromkeys(self.bypassed, " (bypassed)") | dict.fromkeys(self.collapsed, " (layer collapse)")
        return [
            *lines,
            *(f"{name} kept nothing{states.get(name, '')}" for name in self.empty_layers if name not in named),
        ]

    def _draw(self, ax: Axes) -> None:
        places = bar_positions(ax, [name.removesuffix(".weight") for name in self.layers])
        ax.bar(places, self.effective, label="on a path / total")
        bottom = fractions(ax, self.effective, "on a path / total")
        stops = [place for place, name in zip(places, self.layers, strict=True) if name in self.stopped_at]
        if stops:
            ax.plot(stops, [bottom] * len(stops), "rx", label="the input stops here", clip_on=False)
        ax.legend()


def trainability(
    model: nn.Module,
    example_inputs: ExampleInputs,
    parameters: Parameters | None = None,
    *,
    outputs: Outputs | None = None,
) -> Trainability:
    """Find out whether a model can train: empty layers that cut it, outputs without a path, blocks without one side.

    Args:
        model: any model, pruned or not. It is only read.
        example_inputs: the model's inputs, with the batch as the first dimension; only shapes matter.
        parameters: ``(module, name)`` pairs; by default all prunable weights and every other parameter with a mask.
        outputs: which of the model's outputs count, as for ``prune.global_iterative_unstructured``; all by default.

    Returns:
        A report that prints each problem and its place.

    Raises:
        TypeError, ValueError: if the model has nothing to prune, or ``example_inputs`` is missing.

    Source: Tanaka et al. 2020, section 3 (layer collapse makes a network untrainable).

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> _ = prune.random_unstructured(model[2], "weight", amount=2)
        >>> print(diagnostics.trainability(model, torch.rand(1, 3)))
        cannot train; 1 of 2 layers empty (layer collapse)
        no path from the input to any output: 2.weight kept nothing and cuts the model
    """
    reached = reach(model, example_inputs, entries_of(model, parameters), outputs)
    layers = tuple(entry.label for entry in reached.entries)
    stops = {index for index, (arrives, leaves) in reached.mode.layers.items() if arrives and not leaves}
    return Trainability(
        layers=layers,
        effective=tuple(float(used.double().mean()) if used.numel() else 1.0 for used in reached.used),
        stopped_at=tuple(layers[index] for index in sorted(stops)),
        empty_layers=reached.empty,
        bypassed=reached.bypassed,
        collapsed=reached.collapsed,
        reached=sum(int(output.sum()) for output in reached.outputs),
        outputs=sum(output.numel() for output in reached.outputs),
        residual=_residual(reached, layers),
    )


def warn_if_untrainable(
    model: nn.Module,
    example_inputs: ExampleInputs,
    parameters: Parameters | None = None,
    *,
    outputs: Outputs | None = None,
) -> Trainability:
    """Warn, before training, about outputs of a model that cannot learn from the input.

    Args:
        model: any model, pruned or not. It is only read.
        example_inputs: the model's inputs; only shapes matter.
        parameters: as for :func:`trainability`.
        outputs: as for :func:`trainability`.

    Returns:
        The report of :func:`trainability`.

    Warns:
        UserWarning: if some output has no path. The warning names the place.

    Raises:
        TypeError, ValueError: as :func:`trainability`.

    Example:
        >>> import warnings
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> _ = prune.random_unstructured(model[2], "weight", amount=2)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     found = diagnostics.warn_if_untrainable(model, torch.rand(1, 3))
        >>> found.can_train, len(caught)
        (False, 1)
    """
    found = trainability(model, example_inputs, parameters, outputs=outputs)
    if found.problems:
        warn_user(f"{type(model).__name__} cannot train as it should: {'; '.join(found.problems)}")
    return found


def _residual(reached: Reached, layers: tuple[str, ...]) -> tuple[str, ...]:
    """A note for each sum of a residual block that has lost one side but not the other."""
    notes = []
    for short, long in reached.mode.residual_sums:
        lost = (short if long.alive else long).layers
        if short.alive != long.alive and lost:  # a side without layers of its own is a constant
            gone = "the skip path" if long.alive else "the branch"
            gone = gone if len(short.layers) < len(long.layers) else "one of two branches"
            names = ", ".join(layers[index] for index in sorted(lost))
            notes.append(f"inside a residual block, {gone} is gone ({names})")
    return tuple(notes)
