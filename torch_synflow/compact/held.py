"""The parameters, buffers and attention heads of a model, and their cells."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Held:
    """A parameter or buffer of the model.

    Attributes:
        name: its qualified name, the first of several.
        kept: a boolean tensor of the elements that a mask keeps, that may be trained, or that are not zero.
        trained: whether it may be trained.
        axes: for each of its axes that a layer reads, the cells of the indices.
        elements: the cells of its elements, where an operation reads it element by element.
        steady: where it is zero and stays so, as far as is known (:class:`~torch_synflow.compact.nodes.Shift`).
        behind: for an axis a cell per index; indices whose cell goes come after the others.
    """

    name: str
    tensor: Tensor
    kept: Tensor
    trained: bool
    axes: dict[int, Tensor] = field(default_factory=dict)
    elements: Tensor | None = None
    steady: Tensor | None = None
    behind: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class Heads:
    """One call of an ``nn.MultiheadAttention``; all cells but one are ``(heads, channels)``.

    Attributes:
        name: of the module.
        query: of queries, which keys go with.
        rows: of values without their bias.
        value: with it.
        weights: the cell of its attention weights, if the module returns them.
    """

    name: str
    query: Tensor
    rows: Tensor
    value: Tensor
    weights: Tensor | None = None
