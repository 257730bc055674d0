"""Neuron collapse: output channels with nothing kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from torch_synflow._drawing import axes
from torch_synflow._reporting import Report, Table
from torch_synflow._torch.classes import TransposedConvolution
from torch_synflow.model.layout import whole_of
from torch_synflow.model.masks import entries_of
from torch_synflow.model.parameters import Parameters

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class LayerNeurons:
    """The neurons of one layer.

    Attributes:
        name: the name of its weight.
        densities: kept / total of each neuron. A neuron is an output channel (row).
    """

    name: str
    densities: tuple[float, ...]

    @property
    def collapsed(self) -> int:
        """The number of neurons with nothing kept."""
        return sum(density == 0 for density in self.densities)


@dataclass(frozen=True, repr=False)
class NeuronCollapse(Report):
    """The density of each neuron; prints as a table.

    Attributes:
        layers: one per weight, from input to output.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Linear(3, 4)
        >>> _ = prune.ln_structured(model, "weight", amount=1, n=1, dim=0)
        >>> found = diagnostics.neuron_collapse(model)
        >>> found.fraction, found.at_least(0.5)
        (0.25, 0.25)
        >>> print(found)
        1 of 4 neurons collapsed
        layer   neurons  collapsed  fraction
        weight        4          1    0.2500
        all           4          1    0.2500
    """

    layers: tuple[LayerNeurons, ...]

    @property
    def neurons(self) -> int:
        """The number of neurons in all layers."""
        return sum(len(layer.densities) for layer in self.layers)

    @property
    def collapsed(self) -> int:
        """The number of neurons with nothing kept."""
        return sum(layer.collapsed for layer in self.layers)

    @property
    def fraction(self) -> float:
        """Collapsed / all neurons."""
        return self.collapsed / self.neurons

    def at_least(self, pruned: float) -> float:
        """The fraction of neurons with at least the fraction ``pruned`` pruned, as in figure 5."""
        densities = [density for layer in self.layers for density in layer.densities]
        return sum(1 - density >= pruned - 1e-12 for density in densities) / len(densities)

    @property
    def verdict(self) -> str:
        """The number of neurons with nothing kept, in one line."""
        return f"{self.collapsed:,} of {self.neurons:,} neurons collapsed"

    def _table(self) -> Table:
        """One line per layer, then the sum."""
        rows = [(layer.name, len(layer.densities), layer.collapsed) for layer in self.layers]
        rows.append(("all", self.neurons, self.collapsed))
        cells = [[name, f"{count:,}", f"{gone:,}", f"{gone / max(count, 1):.4f}"] for name, count, gone in rows]
        return ["layer", "neurons", "collapsed", "fraction"], cells

    def draw(self, ax: Axes | None = None, *, label: str | None = None) -> Axes:
        """Draw the percentage of neurons against their least pruned share, as in figure 5 of Frankle et al. 2021.

        Args:
            ax: matplotlib axes; new ones by default.
            label: the label of the line, for several methods on the same axes, which then get no title.

        Returns:
            The axes.
        """
        if label is None:
            return super().draw(ax)
        ax = axes(ax)
        self._draw(ax, label)
        ax.legend()
        return ax

    def _draw(self, ax: Axes, label: str | None = None) -> None:
        steps = [step / 100 for step in range(101)]
        ax.plot([100 * s for s in steps], [100 * self.at_least(s) for s in steps], label=label)
        ax.set_xlabel("pruned at least, % of a neuron")
        ax.set_ylabel("% of neurons")
        ax.set_ylim(-2, 102)


def neuron_collapse(model: nn.Module, parameters: Parameters | None = None) -> NeuronCollapse:
    """Report the density of each neuron of a model. A neuron is an output channel.

    The paper counts only the channels of convolutions. To compare with it, pass these as ``parameters``.

    Args:
        model: any model. A parameter without a mask of ``torch.nn.utils.prune`` counts as dense.
        parameters: ``(module, name)`` pairs; by default all prunable weights and every other parameter with a mask.

    Returns:
        A report that prints as a table. Its ``draw()`` plots figure 5.

    Raises:
        TypeError, ValueError: if ``model`` is not a module, or has nothing to prune.

    Source: Frankle et al. 2021, section 5 and figure 5.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Linear(2, 4)
        >>> mask = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 1]])
        >>> _ = prune.custom_from_mask(model, "weight", mask)
        >>> diagnostics.neuron_collapse(model).fraction
        0.5
    """
    entries = entries_of(model, parameters)
    layers = []
    for entry in entries:
        rows = by_output(entry.locations[0][0], whole_of(entry.mask))
        layers.append(LayerNeurons(entry.label, tuple(rows.double().mean(1).tolist())))
    return NeuronCollapse(tuple(layers))


def by_output(module: nn.Module, weight: Tensor) -> Tensor:
    """A weight, or a tensor of its shape, as ``(output channels, rest)``."""
    if isinstance(module, TransposedConvolution) and weight.dim() > 1:
        return _grouped(weight, module.groups).transpose(1, 2).reshape(module.groups * weight.shape[1], -1)
    return weight.reshape(weight.shape[0], -1) if weight.dim() else weight.reshape(1, 1)


def by_input(module: nn.Module, weight: Tensor) -> Tensor:
    """A weight, or a tensor of its shape, as ``(input channels, rest)``."""
    if isinstance(module, TransposedConvolution):
        return weight.reshape(weight.shape[0], -1)
    groups = getattr(module, "groups", 1)
    return _grouped(weight, groups).transpose(1, 2).reshape(groups * weight.shape[1], -1)


def _grouped(weight: Tensor, groups: int) -> Tensor:
    return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
