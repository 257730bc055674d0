"""Conservation of synaptic saliency: neuron by neuron (Theorem 1) and across any cut (Theorem 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow.diagnostics.layer_graph import Layer, LayerGraph, Objective, incoming, layer_graph, outgoing
from torch_synflow.diagnostics.table import axes, table


@dataclass(frozen=True)
class HiddenNeurons:
    """Hidden neurons that lie between the same layers.

    Attributes:
        before: the layers that lead to them; with a residual stream all that add to it.
        after: the layers that read them.
        incoming: saliency of the incoming parameters of each neuron, biases included.
        outgoing: saliency of its outgoing parameters.
        scale: the greatest sum of absolute saliencies at one of them, what an error is relative to.
        note: why the two need not be equal, or why only sums over all neurons are given; else empty.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    incoming: tuple[float, ...]
    outgoing: tuple[float, ...]
    scale: float
    note: str = ""

    @property
    def error(self) -> float:
        """The greatest difference between incoming and outgoing, relative to ``scale``."""
        worst = max((abs(a - b) for a, b in zip(self.incoming, self.outgoing, strict=True)), default=0.0)
        return worst / self.scale if self.scale else worst


@dataclass(frozen=True)
class Cut:
    """Theorem 2 at one cut: ``weights + biases = output``.

    Attributes:
        layers: whose weights cut the network.
        weights: the sum of their saliencies.
        biases: the sum of the saliencies of the biases from the cut on, those of the cut's layers included.
        output: ``<dR/dy, y>``.
    """

    layers: tuple[str, ...]
    weights: float
    biases: float
    output: float

    @property
    def error(self) -> float:
        """The difference of the two sides, relative to the largest of the three numbers."""
        scale = max(abs(self.weights), abs(self.biases), abs(self.output))
        difference = abs(self.weights + self.biases - self.output)
        return difference / scale if scale else difference


@dataclass(frozen=True)
class Conservation:
    """What is conserved in a model for one saliency; ``print`` shows a table of Theorem 1.

    Attributes:
        neurons: hidden neurons, from input to output.
        output: ``<dR/dy, y>``, what every cut carries.
    """

    neurons: tuple[HiddenNeurons, ...]
    output: float
    _graph: LayerGraph

    @property
    def error(self) -> float:
        """The greatest relative difference at any hidden neuron."""
        return max((hidden.error for hidden in self.neurons), default=0.0)

    def cut(self, layers: Iterable[str]) -> Cut:
        """Theorem 2 for the weights of some layers that together separate the input from the output.

        With biases, :math:`\\sum_{cut} S(W) + \\sum_{after} S(b) = \\langle dR/dy, y \\rangle`; BatchNorm in evaluation
        mode adds the bias ``beta - gamma * mean / std``, in training mode its scale and shift take the place of all
        that is before them.

        Args:
            layers: names of modules (or of their weights), each of which is needed.

        Raises:
            ValueError: naming a layer that does not exist or is not needed, or if some path goes past all of them.

        Source: Tanaka et al. 2020, theorem 2; the formula with biases is in the text after it and in the authors'
        rebuttal.
        """
        names = tuple(name.removesuffix(".weight") for name in layers)
        known = {layer.name: layer for layer in self._graph.layers if not layer.is_norm}
        for name in names:
            if name not in known:
                raise ValueError(
                    f"layers: expected names of linear and convolution modules that are called, got {name!r}; there "
                    f"are {', '.join(known)}"
                )
        chosen = {id(known[name]): known[name] for name in names}
        after, reached, past = self._after(chosen)
        if past:
            raise ValueError(f"layers: expected a cut, but a path from input to output goes past {', '.join(names)}")
        twice = _upstream(self._graph, chosen.values()) & chosen.keys()
        for identity, layer in chosen.items():
            if identity not in reached or identity in twice:
                raise ValueError(
                    f"layers: expected a cut of which every layer is needed, but {layer.name} lies on a path with others"
                )
        biases = [layer.bias for layer in [*after, *chosen.values()] if layer.bias is not None]
        return Cut(
            names,
            weights=sum(_sum(layer.weight) for layer in chosen.values()),
            biases=sum(float(bias.sum()) for bias in biases),
            output=self.output,
        )

    def _after(self, chosen: dict[int, Layer]) -> tuple[list[Layer], set[int], bool]:
        """The layers between a cut and the outputs, the cut's layers that are reached, and whether the input is."""
        by_id = {id(layer): layer for layer in self._graph.layers}
        after: dict[int, Layer] = {}
        reached: set[int] = set()
        past = False
        waiting = [self._graph.output]
        while waiting:
            layer = waiting.pop()
            past = past or layer.from_input
            for source in layer.sources:
                if source in chosen:
                    reached.add(source)
                elif source not in after:
                    after[source] = by_id[source]
                    waiting.append(by_id[source])
        return list(after.values()), reached, past

    def __str__(self) -> str:
        """A table: a line for neurons between the same layers."""
        rows = []
        for hidden in self.neurons:
            between = f"{_few(hidden.before)} > {_few(hidden.after)}"
            rows.append([between, f"{len(hidden.incoming):,}", f"{hidden.error:.1e}", hidden.note])
        return f"{table(['neurons between', 'number', 'error', ''], rows)}\n<dR/dy, y> = {self.output:.6g}"

    def draw(self, ax: Any = None) -> Any:
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
            else:
                ax.set_xscale("symlog", linthresh=max(max(map(abs, values)) / 1e4, 1e-300))
                ax.set_yscale("symlog", linthresh=max(max(map(abs, values)) / 1e4, 1e-300))
        ax.set_xlabel("saliency of incoming parameters")
        ax.set_ylabel("saliency of outgoing parameters")
        return ax


def conservation(
    model: nn.Module,
    example_inputs: Any,
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
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    if objective is not None and not callable(objective):
        raise TypeError(f"objective: expected a function of the model's outputs, got {objective!r}")
    graph = layer_graph(model, example_inputs, objective, along_gradient=along_gradient, training=training)
    return Conservation(tuple(_hidden(graph)), graph.total, graph)


def _hidden(graph: LayerGraph) -> list[HiddenNeurons]:
    """Group the layers by the hidden neurons that they lead to and read, and sum."""
    by_id = {id(layer): layer for layer in graph.layers}
    group_of: dict[int, int] = {}  # for a producer, the group of the neurons that it leads to

    def find(identity: int) -> int:
        while group_of.setdefault(identity, identity) != identity:
            identity = group_of[identity]
        return identity

    readers = [layer for layer in graph.layers if not (layer.is_norm and not layer.normalises)]
    reads: dict[int, tuple[set[int], set[int], bool, list[str], list[str]]] = {}
    for layer in [*readers, graph.output]:
        reads[id(layer)] = _producers(layer, by_id)
        sources, norms, *_ = reads[id(layer)]
        members = [*sources, *norms]
        for other in members[1:]:
            group_of[find(other)] = find(members[0])
    not_hidden = {find(m) for layer in (*readers, graph.output) for m in _not_hidden(layer, graph, reads)}
    hidden = []
    for root in dict.fromkeys(find(id(layer)) for layer in graph.layers if id(layer) in group_of):
        if root in not_hidden:
            continue
        before = [layer for layer in graph.layers if id(layer) in group_of and find(id(layer)) == root]
        after = [layer for layer in readers if any(find(m) == root for m in reads[id(layer)][0] | reads[id(layer)][1])]
        hidden.append(_neurons(before, after, reads))
    return hidden


def _producers(layer: Layer, by_id: dict[int, Layer]) -> tuple[set[int], set[int], bool, list[str], list[str]]:
    """The layers whose neurons ``layer`` reads, the BatchNorms between, whether the input is among them, notes."""
    sources: set[int] = set()
    norms: set[int] = set()
    from_input, notes, moves = layer.from_input, list(layer.notes), list(layer.moves)
    waiting = list(layer.sources)
    while waiting:
        source = by_id[waiting.pop()]
        if source.is_norm and not source.normalises:
            if id(source) not in norms:
                norms.add(id(source))
                waiting += source.sources
                from_input = from_input or source.from_input
                notes += source.notes
                moves += source.moves
        else:
            sources.add(id(source))
    return sources, norms, from_input, notes, moves


def _not_hidden(layer: Layer, graph: LayerGraph, reads: dict[int, Any]) -> set[int]:
    """Members of groups that the model's input or outputs belong to."""
    sources, norms, from_input, *_ = reads[id(layer)]
    return sources | norms if layer is graph.output or from_input else set()


def _neurons(before: list[Layer], after: list[Layer], reads: dict[int, Any]) -> HiddenNeurons:
    notes = [note for layer in after for note in reads[id(layer)][3]]
    moves = [move for layer in after for move in reads[id(layer)][4]]
    complete = [layer for layer in before if layer.weight is not None or layer.bias is not None]
    ins = [incoming(layer) for layer in complete]
    outs = [outgoing(layer) for layer in after if layer.weight is not None or layer.bias is not None]
    channels = {len(part) for part in ins}
    number = min(channels, default=0)
    if len(channels) > 1 or moves or not number or any(len(part) % number for part in outs):
        why = f"{', '.join(dict.fromkeys(moves))} moves channels" if moves else "channels differ"
        notes.append(f"sums over all neurons, as {why}")
        number = 1
        ins = [part.reshape(1, -1) for part in ins]
    outs = [part.reshape(number, -1) for part in outs]  # features of a channel that was flattened belong to it
    sums, sizes = [], []
    for parts in (ins, outs):
        joined = torch.cat(parts, 1) if parts else torch.zeros(number, 1, dtype=torch.float64)
        sums.append(tuple(joined.sum(1).tolist()))
        sizes.append(float(joined.abs().sum(1).max()) if joined.numel() else 0.0)
    return HiddenNeurons(
        before=tuple(layer.name for layer in before if layer.weight is not None or layer.normalises),
        after=tuple(layer.name for layer in after),
        incoming=sums[0],
        outgoing=sums[1],
        scale=max(sizes),
        note="; ".join(dict.fromkeys(notes)),
    )


def _upstream(graph: LayerGraph, layers: Iterable[Layer]) -> set[int]:
    """All layers from which a path leads to one of ``layers``."""
    by_id = {id(layer): layer for layer in graph.layers}
    found: set[int] = set()
    waiting = list(layers)
    while waiting:
        new = waiting.pop().sources - found
        found |= new
        waiting += [by_id[source] for source in new]
    return found


def _sum(saliency: Tensor | None) -> float:
    return 0.0 if saliency is None else float(saliency.sum())


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, ... {names[-1]} ({len(names)})"
