"""Theorem 2: the saliency that crosses a cut of the network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch_synflow.diagnostics.theorems.forward_pass import TracedLayer
from torch_synflow.diagnostics.theorems.layer_graph import LayerGraph


@dataclass(frozen=True)
class Cut:
    """Theorem 2 at one cut: ``weights + biases = output``.

    Attributes:
        layers: the layers whose weights cut the network.
        weights: the sum of their saliencies.
        biases: the sum of the saliencies of the biases after the cut, including those of the cut's layers.
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


def cut_at(graph: LayerGraph, layers: Iterable[str]) -> Cut:
    """Sum the saliencies of a cut; see :meth:`torch_synflow.diagnostics.Conservation.cut`."""
    names = tuple(name.removesuffix(".weight") for name in ([layers] if isinstance(layers, str) else layers))
    known = {layer.name: layer for layer in graph.layers if not layer.is_norm}
    for name in names:
        if name not in known:
            raise ValueError(
                f"layers: expected names of linear and convolution modules that the model calls, got {name!r}; "
                f"it calls {', '.join(known)}"
            )
    chosen = [known[name] for name in dict.fromkeys(names)]
    after = _upstream([graph.end], chosen)
    if any(layer.from_input for layer in (graph.end, *after)):
        raise ValueError(f"layers: expected a cut, but a path from input to output avoids {', '.join(names)}")
    needed = {source for layer in (graph.end, *after) for source in layer.sources}
    behind = _upstream(chosen, [])
    for layer in chosen:
        if layer not in needed or layer in behind:
            raise ValueError(
                f"layers: expected a cut that no path crosses twice; {layer.name} is on a path with another layer of "
                "the cut"
            )
    biases = [layer.bias for layer in (*after, *chosen) if layer.bias is not None]
    return Cut(
        names,
        weights=sum(float(layer.weight.sum()) for layer in chosen if layer.weight is not None),
        biases=sum(float(bias.sum()) for bias in biases),
        output=graph.total,
    )


def _upstream(starts: Iterable[TracedLayer], stops: list[TracedLayer]) -> list[TracedLayer]:
    """All layers from which a path leads to one of ``starts`` without a layer of ``stops`` on it."""
    found: dict[TracedLayer, None] = {}
    waiting = list(starts)
    while waiting:
        new = [source for source in waiting.pop().sources if source not in found and source not in stops]
        found.update(dict.fromkeys(new))
        waiting += new
    return list(found)
