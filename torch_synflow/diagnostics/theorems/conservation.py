"""Conservation of synaptic saliency: neuron by neuron (Theorem 1) and across any cut (Theorem 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import nn

from torch_synflow._drawing import axes
from torch_synflow._table import table
from torch_synflow.diagnostics.theorems.cuts import Cut, cut_at
from torch_synflow.diagnostics.theorems.hidden_neurons import HiddenNeurons, hidden_neurons
from torch_synflow.diagnostics.theorems.layer_graph import LayerGraph, Objective, layer_graph
from torch_synflow.model.masks import entries_of
from torch_synflow.model.parameters import ExampleInputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Conservation:
    """What is conserved in a model for one saliency; ``print`` shows a table of Theorem 1.

    Attributes:
        neurons: hidden neurons, from input to output.
        output: ``<dR/dy, y>``, what every cut carries.
    """

    neurons: tuple[HiddenNeurons, ...]
    output: float
    _graph: LayerGraph = field(repr=False, compare=False)

    @property
    def error(self) -> float:
        """The greatest relative difference at any hidden neuron."""
        return max((hidden.error for hidden in self.neurons), default=0.0)

    def cut(self, layers: Iterable[str]) -> Cut:
        r"""Theorem 2 for the weights of some layers that together separate the input from the output.

        With biases, :math:`\sum_{cut} S(W) + \sum_{after} S(b) = \langle dR/dy, y \rangle`; BatchNorm in evaluation
        mode adds the bias ``beta - gamma * mean / std``, in training mode its scale and shift take the place of all
        that is before them.

        Args:
            layers: names of modules (or of their weights), each of which is needed.

        Raises:
            ValueError: naming a layer that does not exist or is not needed, or if some path goes past all of them.

        Source: Tanaka et al. 2020, theorem 2; the formula with biases is in the text after it and in the authors'
        rebuttal.
        """
        return cut_at(self._graph, layers)

    @property
    def verdict(self) -> str:
        """The greatest error of Theorem 1, in one line."""
        count = sum(len(hidden.incoming) for hidden in self.neurons)
        return f"greatest relative error {self.error:.1e} at {count:,} hidden neurons; <dR/dy, y> = {self.output:.6g}"

    def __str__(self) -> str:
        """The verdict, and a table: a line for neurons between the same layers."""
        rows = []
        for hidden in self.neurons:
            between = f"{_few(hidden.before)} > {_few(hidden.after)}"
            rows.append([between, f"{len(hidden.incoming):,}", f"{hidden.error:.1e}", hidden.note])
        return f"{self.verdict}\n{table(['neurons between', 'number', 'error', ''], rows)}"

    def draw(self, ax: Axes | None = None) -> Axes:
        """Draw incoming against outgoing saliency, a dot a neuron, as figure 3 of Tanaka et al. 2020.

        Args:
            ax: matplotlib axes; new ones by default.

        Returns:
            The axes.
        """
        ax = axes(ax)
        values = [v for hidden in self.neurons for v in (*hidden.incoming, *hidden.outgoing)]
        for hidden in self.neurons:
            ax.plot(hidden.incoming, hidden.outgoing, ".", alpha=0.6)
        if values:
            ax.axline((0, 0), slope=1, color="0.2", linestyle=":", linewidth=1)
            if min(values) > 0:
                ax.set(xscale="log", yscale="log")
            elif any(values):
                threshold = max(map(abs, values)) / 100
                ax.set_xscale("symlog", linthresh=threshold)
                ax.set_yscale("symlog", linthresh=threshold)
        ax.set_xlabel("saliency of incoming parameters")
        ax.set_ylabel("saliency of outgoing parameters")
        return ax


def conservation(
    model: nn.Module,
    example_inputs: ExampleInputs,
    objective: Objective | None = None,
    *,
    along_gradient: bool = False,
    training: bool = False,
) -> Conservation:
    r"""Check the conservation of synaptic saliency :math:`S = \partial R / \partial \theta \cdot \theta` in a model.

    Theorem 1: at each hidden neuron the saliencies of incoming parameters, biases included, sum to those of the
    outgoing ones. It holds between operations that are homogeneous, of which ReLU, pooling, sums and BatchNorm in
    evaluation mode (a scale and a bias ``beta - gamma * mean / std``) are some; others are named in a note. BatchNorm
    in training mode does not change with the scale of its input, so the saliencies before it sum to zero and its own
    scale and shift are the incoming parameters of the neurons after it.

    GraSP's score is no function of the output alone, and :math:`\theta \cdot H g` is not conserved. Its derivation
    from what is conserved is: along the gradient :math:`g` of the weights, the derivative of the conserved sums of
    SNIP's :math:`\theta \cdot g` is the sum of :math:`\theta \cdot H g + g^2`, and that is conserved exactly.

    Args:
        model: any model; it is only read. Neurons are the channels of its linear and convolution modules.
        example_inputs: what it is called with; the values matter, unless for SynFlow.
        objective: ``R`` as a function of the outputs, such as ``lambda y: F.cross_entropy(y, targets)`` for SNIP
            without its absolute value; by default SynFlow's: absolute parameters, an input of ones, the sum of the
            outputs.
        along_gradient: look at :math:`\theta \cdot H g + g^2` (GraSP) instead.
        training: whether the model is read in training mode.

    Returns:
        The saliencies of the hidden neurons, and cuts by :meth:`Conservation.cut`. All in float64.

    Raises:
        TypeError, ValueError: if ``objective`` returns no scalar that depends on the outputs, or an argument is wrong.

    Source: Tanaka et al. 2020, theorems 1 and 2 and figure 3.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
        >>> targets = torch.tensor([0, 2])
        >>> found = diagnostics.conservation(
        ...     model, torch.rand(2, 4), lambda outputs: nn.functional.cross_entropy(outputs, targets)
        ... )
        >>> found.error < 1e-12, found.cut(["2"]).error < 1e-12
        (True, True)
    """
    entries_of(model)  # an error where there is no layer to look at
    if objective is not None and not callable(objective):
        raise TypeError(f"objective: expected a function of the model's outputs, got {objective!r}")
    graph = layer_graph(model, example_inputs, objective, along_gradient=along_gradient, training=training)
    return Conservation(tuple(hidden_neurons(graph)), graph.total, graph)


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, ... {names[-1]} ({len(names)})"
