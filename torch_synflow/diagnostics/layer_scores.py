"""Average score against inverse layer size, which shows why conserved scores prune the largest layer first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from torch_synflow._reporting import Report, Table
from torch_synflow.model.masks import entries_of
from torch_synflow.model.parameters import Pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class LayerScore:
    """The scores of one layer.

    Attributes:
        name: the name of its weight.
        size: the number of weights that are not pruned.
        total: the sum of the scores of these weights.
    """

    name: str
    size: int
    total: float

    @property
    def average(self) -> float:
        """Total / size, zero for an empty layer."""
        return self.total / self.size if self.size else 0.0


@dataclass(frozen=True, repr=False)
class LayerScores(Report):
    """The average score of each layer and its size; prints as a table.

    ``draw`` shows the absolute average score of each layer against the inverse of its size, as in figure 4 of Tanaka
    et al. 2020. The dotted line shows equal totals in all layers.

    Attributes:
        layers: one per tensor.
    """

    layers: tuple[LayerScore, ...]

    @property
    def verdict(self) -> str:
        """The lowest and the highest total of a layer, in one line."""
        totals = [layer.total for layer in self.layers if layer.size] or [0.0]
        return f"layers have totals from {min(totals):.4g} to {max(totals):.4g}"

    def _table(self) -> Table:
        """One line per tensor."""
        rows = [[layer.name, f"{layer.size:,}", f"{layer.total:.4g}", f"{layer.average:.4g}"] for layer in self.layers]
        return ["layer", "size", "total score", "average"], rows

    def _draw(self, ax: Axes) -> None:
        shown = [layer for layer in self.layers if layer.size and layer.total]
        inverse = [1 / layer.size for layer in shown]
        ax.loglog(inverse, [abs(layer.average) for layer in shown], "o")
        if shown:
            middle = sorted(abs(layer.total) for layer in shown)[len(shown) // 2]
            ends = [min(inverse), max(inverse)]
            ax.loglog(ends, [middle * end for end in ends], "k:", linewidth=1)
        ax.set_xlabel("1 / size of layer")
        ax.set_ylabel("average score, absolute")


def layer_scores(model: nn.Module, scores: Mapping[Pair, Tensor]) -> LayerScores:
    """Average the scores of each layer over the weights that are not pruned.

    Args:
        model: the model that was scored.
        scores: a tensor per ``(module, name)`` pair, as ``prune.synflow_scores`` and the ``scores`` of any method
            return them.

    Returns:
        Size, total and average score of each layer.

    Raises:
        ValueError: if ``scores`` is empty, or holds a tensor whose shape differs from that of its parameter.

    Source: Tanaka et al. 2020, section 4 and figure 4.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(
        ...     nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 2, bias=False)
        ... )
        >>> scores = prune.synflow_scores(model, torch.ones(1, 4))
        >>> found = diagnostics.layer_scores(model, scores)
        >>> first, second = found.layers
        >>> # totals are equal
        >>> first.size, second.size, round(second.average / first.average, 6)
        (32, 16, 2.0)
    """
    found = []
    for entry in entries_of(model, list(scores)):
        score = next(scores[pair] for pair in entry.locations if pair in scores)
        if score.shape != entry.parameter.shape:
            raise ValueError(
                f"scores: expected shape {tuple(entry.parameter.shape)} for {entry.label}, got {tuple(score.shape)}"
            )
        found.append(LayerScore(entry.label, entry.alive, float((score * entry.mask).sum())))
    return LayerScores(tuple(found))
