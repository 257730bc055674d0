"""The report that pruning returns, with the kept weights of each layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch_synflow._drawing import bar_positions, fractions
from torch_synflow._reporting import Report, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class LayerReport:
    """The kept weights of one tensor.

    Attributes:
        name: its qualified name, or its place in the list if no model was given.
        kept: the number of elements kept.
        total: the number of elements, including pruned ones.
        zeros: the number of elements that count as pruned because they are zero, without a mask, as after
            ``prune.remove``.
    """

    name: str
    kept: int
    total: int
    zeros: int = 0

    @property
    def density(self) -> float:
        """Kept / total, 1 for a tensor without elements."""
        return self.kept / self.total if self.total else 1.0

    @property
    def sparsity(self) -> float:
        """1 - density."""
        return 1.0 - self.density


@dataclass(frozen=True, repr=False)
class PruningReport(Report):
    """The kept weights of each pruned tensor; prints as a table.

    ``draw`` shows the density of each layer from input to output, as in figure 15 of Frankle et al. 2021.

    Attributes:
        layers: one report per tensor, in the order of the parameters. A tied tensor appears once.
        bypassed: the empty layers that a shortcut bypasses, so the input reaches an output without them.
        collapsed: the empty layers without which the input reaches no output that they lead to (layer collapse).

    An empty layer is in neither tuple if the model or its inputs were not known, or if the outputs do not depend on the
    layer.

    Example:
        >>> layers = LayerReport("conv.weight", 3, 30), LayerReport("fc.weight", 0, 10)
        >>> report = PruningReport(layers, collapsed=("fc.weight",))
        >>> report.kept, report.total, report.density, report.empty_layers
        (3, 40, 0.075, ('fc.weight',))
        >>> print(report)
        3 of 40 weights kept (density 0.0750, sparsity 0.9250); 1 of 2 layers empty (layer collapse)
        layer        kept  total   density  sparsity
        conv.weight     3     30    0.1000    0.9000
        fc.weight       0     10    0.0000    1.0000  empty: layer collapse
        all             3     40    0.0750    0.9250  compression ratio 13.3
    """

    layers: tuple[LayerReport, ...]
    bypassed: tuple[str, ...] = ()
    collapsed: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """The number of elements kept in all tensors."""
        return sum(layer.kept for layer in self.layers)

    @property
    def total(self) -> int:
        """The number of elements in all tensors, including pruned ones."""
        return sum(layer.total for layer in self.layers)

    @property
    def zeros(self) -> int:
        """The number of elements that count as pruned because they are zero, without a mask."""
        return sum(layer.zeros for layer in self.layers)

    @property
    def density(self) -> float:
        """Kept / total."""
        return self.kept / self.total if self.total else 1.0

    @property
    def compression_ratio(self) -> float:
        """Total / kept, infinite if nothing is kept."""
        return self.total / self.kept if self.kept else math.inf

    @property
    def densities(self) -> dict[str, float]:
        """Kept / total of each tensor by its name."""
        return {layer.name: layer.density for layer in self.layers}

    @property
    def empty_layers(self) -> tuple[str, ...]:
        """The names of the tensors with nothing kept."""
        return tuple(layer.name for layer in self.layers if layer.total and not layer.kept)

    @property
    def sparsity(self) -> float:
        """1 - density."""
        return 1.0 - self.density

    @property
    def verdict(self) -> str:
        """The density and the number of empty layers, in one line."""
        kept = f"{self.kept:,} of {self.total:,} weights kept"
        empty = empty_in_words(len(self.layers), self.empty_layers, self.bypassed, self.collapsed)
        zeros = f"; {self.zeros:,} are zero without a mask" if self.zeros else ""
        return f"{kept} (density {self.density:.4f}, sparsity {self.sparsity:.4f}); {empty}{zeros}"

    def _table(self) -> Table:
        """One line per tensor, then the sum."""
        count = max(len("total"), len(f"{self.total:,}"))
        header = ["layer", "kept".rjust(count), "total", " density", "sparsity", ""]
        return header, [
            [label, f"{part.kept:,}", f"{part.total:,}", f"{part.density:.4f}", f"{part.sparsity:.4f}", note]
            for label, part, note in self._rows()
        ]

    def _rows(self) -> list[tuple[str, LayerReport | PruningReport, str]]:
        """The rows of the tables: a label, counts and a note for each tensor, then for all."""
        states = dict.fromkeys(self.bypassed, ": bypassed") | dict.fromkeys(self.collapsed, ": layer collapse")
        rows: list[tuple[str, LayerReport | PruningReport, str]] = []
        for layer in self.layers:
            zeros = "zeros without a mask" if layer.zeros else ""
            empty = f"empty{states.get(layer.name, '')}" if layer.name in self.empty_layers else ""
            rows.append((layer.name, layer, empty or zeros))
        return [*rows, ("all", self, f"compression ratio {self.compression_ratio:.3g}")]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PruningReport:
        """Restore a report from the result of :meth:`to_dict`.

        Example:
            >>> report = PruningReport((LayerReport("fc.weight", 1, 4),), bypassed=("conv.weight",))
            >>> PruningReport.from_dict(report.to_dict()) == report
            True
        """
        layers = (
            LayerReport(*(layer[key] for key in ("name", "kept", "total", "zeros"))) for layer in values["layers"]
        )
        return cls(tuple(layers), tuple(values["bypassed"]), tuple(values["collapsed"]))

    def _draw(self, ax: Axes) -> None:
        places = bar_positions(ax, [layer.name.removesuffix(".weight") for layer in self.layers])
        densities = [layer.density for layer in self.layers]
        ax.bar(places, densities)
        bottom = fractions(ax, densities, "density (dashed: of all)")
        empty = [place for place, density in zip(places, densities, strict=True) if density == 0]
        if empty:
            ax.plot(empty, [bottom] * len(empty), "rx", label="empty", clip_on=False)
            ax.legend()
        ax.axhline(self.density, color="0.5", linestyle="--", linewidth=1)


def empty_in_words(layers: int, empty: Sequence[str], bypassed: Sequence[str], collapsed: Sequence[str]) -> str:
    """The number of empty layers in words, and how many of them are bypassed or collapsed.

    Example:
        >>> empty_in_words(5, (), (), ()), empty_in_words(5, "abc", "abc", ())
        ('no layer empty', '3 of 5 layers empty (bypassed)')
        >>> empty_in_words(5, "abc", "ab", "c")
        '3 of 5 layers empty (2 bypassed, 1 layer collapse)'
    """
    if not empty:
        return "no layer empty"
    counts = {"bypassed": len(bypassed), "layer collapse": len(collapsed)}
    states = ", ".join(state if n == len(empty) else f"{n} {state}" for state, n in counts.items() if n)
    return f"{len(empty)} of {layers} layers empty{f' ({states})' if states else ''}"
