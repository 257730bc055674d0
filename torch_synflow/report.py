"""The report that pruning returns: what is kept of each layer."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerReport:
    """What is kept of one tensor.

    Attributes:
        name: its qualified name, or its place in the list when no model was given.
        kept: entries kept.
        total: entries in all.
    """

    name: str
    kept: int
    total: int

    @property
    def density(self) -> float:
        """Kept / total, 1 for a tensor without entries."""
        return self.kept / self.total if self.total else 1.0


@dataclass(frozen=True)
class PruningReport:
    """What is kept of each tensor that was pruned; ``print`` shows a table.

    Attributes:
        layers: one report a tensor, in the order of the parameters; a tied tensor is there once.

    Example:
        >>> report = PruningReport((LayerReport("conv.weight", 3, 30), LayerReport("fc.weight", 0, 10)))
        >>> report.kept, report.total, report.density, report.empty_layers
        (3, 40, 0.075, ('fc.weight',))
        >>> print(report)
        3 of 40 weights kept (density 0.0750, sparsity 0.9250), 1 of 2 layers empty
        layer        kept  total   density
        conv.weight     3     30    0.1000
        fc.weight       0     10    0.0000  empty: layer collapse
        all             3     40    0.0750  compression ratio 13.3
    """

    layers: tuple[LayerReport, ...]

    @property
    def kept(self) -> int:
        """Entries kept in all tensors."""
        return sum(layer.kept for layer in self.layers)

    @property
    def total(self) -> int:
        """Entries in all tensors, those pruned before included."""
        return sum(layer.total for layer in self.layers)

    @property
    def density(self) -> float:
        """Kept / total."""
        return self.kept / self.total if self.total else 1.0

    @property
    def compression_ratio(self) -> float:
        """Total / kept, infinite when nothing is kept."""
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
        """How much is kept and how many layers are empty, in one line."""
        kept = f"{self.kept:,} of {self.total:,} weights kept"
        empty = f"{len(self.empty_layers) or 'none'} of {len(self.layers)} layers empty"
        return f"{kept} (density {self.density:.4f}, sparsity {self.sparsity:.4f}), {empty}"

    def __str__(self) -> str:
        """The verdict, and a table: a line per tensor, then the sum."""
        rows = [(layer.name, layer.kept, layer.total, layer.density) for layer in self.layers]
        rows.append(("all", self.kept, self.total, self.density))
        name = max(len("layer"), *(len(row[0]) for row in rows))
        count = max(len("total"), len(f"{self.total:,}"))
        collapse = ": layer collapse" if self.kept else ""
        lines = [f"{'layer':<{name}}  {'kept':>{count}}  {'total':>{count}}  {'density':>8}"]
        for label, kept, total, density in rows[:-1]:
            note = f"  empty{collapse}" if total and not kept else ""
            lines.append(f"{label:<{name}}  {kept:>{count},}  {total:>{count},}  {density:>8.4f}{note}")
        label, kept, total, density = rows[-1]
        ratio = f"{self.compression_ratio:.3g}"
        lines.append(
            f"{label:<{name}}  {kept:>{count},}  {total:>{count},}  {density:>8.4f}  compression ratio {ratio}"
        )
        return "\n".join([self.verdict, *lines])
