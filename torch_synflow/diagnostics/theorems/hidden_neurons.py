"""Theorem 1: the saliency into and out of each hidden neuron."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from torch_synflow.diagnostics.theorems.forward_pass import TracedLayer
from torch_synflow.diagnostics.theorems.layer_graph import LayerGraph


@dataclass(frozen=True)
class HiddenNeurons:
    """Hidden neurons between the same layers.

    Attributes:
        before: the layers that lead to them; on a residual stream, all layers that add to it.
        after: the layers that read them.
        incoming: saliency of the incoming parameters of each neuron, biases included.
        outgoing: saliency of the outgoing parameters of each neuron.
        scale: the greatest sum of absolute saliencies at one neuron, to which errors are relative.
        note: the reason why the two need not be equal, or why only sums over all neurons are given; else empty.
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


class _Reads:
    """The neurons that a layer reads, by layer, and the BatchNorms in evaluation mode in between."""

    def __init__(self, layer: TracedLayer) -> None:
        self.layer = layer
        self.members: list[TracedLayer] = []
        self.from_input = layer.from_input
        self.notes, self.moves = list(layer.notes), list(layer.moves)
        waiting = list(layer.sources)
        while waiting:
            source = waiting.pop()
            if source in self.members:
                continue
            self.members.append(source)
            if source.passes:
                waiting += source.sources
                self.from_input = self.from_input or source.from_input
                self.notes += source.notes
                self.moves += source.moves


def hidden_neurons(graph: LayerGraph) -> list[HiddenNeurons]:
    """Group layers by the hidden neurons that they lead to and read."""
    reads = [_Reads(layer) for layer in graph.layers if not layer.passes]
    end = _Reads(graph.end)
    root: dict[TracedLayer, TracedLayer] = {}

    def find(layer: TracedLayer) -> TracedLayer:
        while root.setdefault(layer, layer) is not layer:
            layer = root[layer]
        return layer

    for read in (*reads, end):
        for member in read.members:
            root[find(member)] = find(read.members[0])
    visible = {find(member) for read in (*reads, end) if read is end or read.from_input for member in read.members}
    groups: dict[TracedLayer, list[TracedLayer]] = {}
    for layer in graph.layers:
        if layer in root and find(layer) not in visible:
            groups.setdefault(find(layer), []).append(layer)
    return [
        _summed(before, [read for read in reads if read.members and find(read.members[0]) is top])
        for top, before in groups.items()
    ]


def _summed(before: list[TracedLayer], after: list[_Reads]) -> HiddenNeurons:
    notes = [note for layer in before for note in layer.notes if "tied" in note]
    notes += [note for read in after for note in read.notes]
    if any(read.layer.normalises for read in after):
        notes.append("BatchNorm in training mode ignores scale, up to its eps: the sums are zero")
    moves = dict.fromkeys(move for read in after for move in read.moves)
    sides = [
        [layer.incoming() for layer in before if layer.weight is not None or layer.bias is not None],
        [read.layer.outgoing() for read in after if read.layer.weight is not None or read.layer.bias is not None],
    ]
    channels = {len(part) for part in sides[0]}
    neurons = min(channels, default=1)
    if moves or len(channels) > 1 or any(len(part) % neurons for part in sides[1]):
        neurons = 1
        why = f"{', '.join(moves)} moves channels" if moves else "the numbers of channels differ"
        notes.append(f"summed over all neurons, because {why}")
    sums, sizes = [], []
    for parts in sides:
        # features of a channel that was flattened belong to that channel
        empty = torch.zeros(neurons, 1, dtype=torch.float64)
        joined = torch.cat([part.reshape(neurons, -1) for part in parts], 1).cpu() if parts else empty
        sums.append(tuple(joined.sum(1).tolist()))
        sizes.append(float(joined.abs().sum(1).max()))
    return HiddenNeurons(
        before=tuple(layer.name for layer in before if not layer.passes),
        after=tuple(read.layer.name for read in after),
        incoming=sums[0],
        outgoing=sums[1],
        scale=max(sizes),
        note="; ".join(dict.fromkeys(notes)),
    )
