"""Conservation of synaptic saliency: neuron by neuron (Theorem 1) and across any cut (Theorem 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import nn

from torch_synflow._reporting import Report, Table
from torch_synflow.diagnostics.theorems.cuts import Cut, cut_at
from torch_synflow.diagnostics.theorems.hidden_neurons import HiddenNeurons, hidden_neurons
from torch_synflow.diagnostics.theorems.layer_graph import LayerGraph, Objective, layer_graph
from torch_synflow.model.masks import entries_of
from torch_synflow.model.parameters import ExampleInputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class Conservation(Report):
    """The conservation of one saliency in a model; prints as a table of Theorem 1.

    ``draw`` shows incoming against outgoing saliency, with one dot per neuron, as in figure 3 of Tanaka et al. 2020.

    Attributes:
        neurons: hidden neurons, from input to output.
        output: ``<dR/dy, y>``, which every cut carries.
    """

    neurons: tuple[HiddenNeurons, ...]
    output: float
    _graph: LayerGraph = field(repr=False, compare=False)

    @property
    def error(self) -> float:
        """The greatest relative difference at a hidden neuron."""
        return max((hidden.error for hidden in self.neurons), default=0.0)

    def cut(self, layers: Iterable[str]) -> Cut:
        r"""Check Theorem 2 at the weights of layers that together separate the input from the output.

        With biases, :math:`\sum_{cut} S(W) + \sum_{after} S(b) = \langle dR/dy, y \rangle`; BatchNorm in evaluation
        mode adds the bias ``beta - gamma * mean / std``. In training mode, its scale and shift take the place of
        everything before them.

        Args:
            layers: names of modules or of their weights, each of which the cut needs.

        Raises:
            ValueError: if a layer does not exist or is not needed, or a path avoids all of them. The message names the
                layer.

        Source: Tanaka et al. 2020, theorem 2; the formula with biases is in the text after it and in the authors'
        rebuttal.
        """
        return cut_at(self._graph, layers)

    @property
    def verdict(self) -> str:
        """The greatest error of Theorem 1, in one line."""
        count = sum(len(hidden.incoming) for hidden in self.neurons)
        return f"greatest relative error {self.error:.1e} at {count:,} hidden neurons; <dR/dy, y> = {self.output:.6g}"

    def _table(self) -> Table:
        """One line per group of neurons between the same layers."""
        rows = []
        for hidden in self.neurons:
            between = f"{_few(hidden.before)} > {_few(hidden.after)}"
            rows.append([between, f"{len(hidden.incoming):,}", f"{hidden.error:.1e}", hidden.note])
        return ["neurons between", "number", "error", ""], rows

    def _draw(self, ax: Axes) -> None:
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
    outgoing ones. It holds between homogeneous operations such as ReLU, pooling, sums and BatchNorm in evaluation mode
    (a scale and a bias ``beta - gamma * mean / std``). A note names other operations. BatchNorm in training mode does
    not change with the scale of its input. The saliencies before it therefore sum to zero, and its own scale and shift
    are the incoming parameters of the neurons after it.

    GraSP's score is not a function of the output alone, and :math:`\theta \cdot H g` is not conserved. The sums of
    SNIP's :math:`\theta \cdot g` are conserved. Their derivative along the gradient :math:`g` of the weights is the sum
    of :math:`\theta \cdot H g + g^2`, which is therefore conserved exactly.

    Args:
        model: any model, which is only read. Its neurons are the channels of linear and convolution modules.
        example_inputs: the model's inputs. Their values matter, except for SynFlow.
        objective: ``R`` as a function of the outputs, such as ``lambda y: F.cross_entropy(y, targets)`` for SNIP
            without its absolute value; by default SynFlow's: absolute parameters, an input of ones, the sum of the
            outputs.
        along_gradient: whether to check :math:`\theta \cdot H g + g^2` (GraSP) instead.
        training: whether the model runs in training mode.

    Returns:
        The saliencies of the hidden neurons, in float64. :meth:`Conservation.cut` adds cuts.

    Raises:
        TypeError, ValueError: if ``objective`` returns no scalar that depends on the outputs, or an argument is
            invalid.

    Source: Tanaka et al. 2020, theorems 1 and 2 and figure 3.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(
        ...     nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)
        ... )
        >>> targets = torch.tensor([0, 2])
        >>> found = diagnostics.conservation(
        ...     model,
        ...     torch.rand(2, 4),
        ...     lambda outputs: nn.functional.cross_entropy(outputs, targets),
        ... )
        >>> found.error < 1e-12, found.cut(["2"]).error < 1e-12
        (True, True)
    """
    entries_of(model)  # an error if there is no layer
    if objective is not None and not callable(objective):
        raise TypeError(f"objective: expected a function of the model's outputs, got {objective!r}")
    graph = layer_graph(model, example_inputs, objective, along_gradient=along_gradient, training=training)
    return Conservation(tuple(hidden_neurons(graph)), graph.total, graph)


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, ... {names[-1]} ({len(names)})"
