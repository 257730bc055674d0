"""The channels to remove: those that carry nothing, as far as shapes allow."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from torch_synflow.compact.cells import INPUT
from torch_synflow.compact.held import Heads, Held
from torch_synflow.compact.nodes import Flags
from torch_synflow.compact.tracer import Tracer


@dataclass(frozen=True)
class Choice:
    """The cells to remove.

    Attributes:
        flags: the properties of each cell.
        classes: the cells that are removed together.
        removed: the cells to remove.
        pinned: the staying cells that have a reason in ``Cells.pins``.
        empty: the parameters and buffers that may lose all of their elements, by identity.
    """

    flags: Flags
    classes: Tensor
    removed: Tensor
    pinned: Tensor
    empty: Collection[int] = ()

    def reads_nothing(self, held: Held) -> bool:
        """Whether it is a weight with nothing kept, whose layer needs no input."""
        return id(held.tensor) in self.empty and held.tensor.dim() > 1 and not bool(held.kept.any())

    def indices(self, held: Held) -> dict[int, Tensor]:
        """The kept indices of each axis of a parameter or buffer that gets shorter."""
        found = {axis: ~self.removed[cells] for axis, cells in held.axes.items() if axis >= 0}
        if held.elements is not None:
            for axis, kept in _axes_of(self.removed[held.elements]).items():
                found[axis] = found[axis] & kept if axis in found else kept
        if self.reads_nothing(held):
            found[1] = torch.zeros(held.tensor.shape[1], dtype=torch.bool)
        found = {axis: kept.nonzero()[:, 0] for axis, kept in found.items()}
        for axis, cells in held.behind.items():
            last = self.removed[cells[found[axis]]]
            found[axis] = found[axis][last.int().argsort(stable=True)]
        return {axis: at for axis, at in found.items() if not torch.equal(at, torch.arange(held.tensor.shape[axis]))}


def choose(
    tracer: Tracer,
    flags: Flags,
    fixed: Iterable[Tensor] = (),
    empty: Collection[int] = (),
    folded: Collection[int] = (),
) -> Choice:
    """Remove all cells that carry nothing with all tied cells, or none of them.

    Args:
        tracer: the tracer after a pass.
        flags: the properties of its cells.
        fixed: other cells that must stay.
        empty: the identities of parameters and buffers that may lose all of their elements.
        folded: classes of cells that others stand for.
    """
    classes = tracer.cells.classes()
    stays = torch.zeros_like(flags.zero)
    stays[classes[flags.used & ~flags.zero]] = True
    stays[list(folded)] = False
    pinned = torch.zeros_like(stays)
    for cells in [torch.tensor([INPUT]), *(cells for cells, _ in tracer.cells.pins), *fixed]:
        pinned[classes[cells]] = True
    for heads in tracer.attentions:
        if heads.weights is not None and bool(flags.used[heads.weights]):  # averages over all heads
            for cells in (heads.query, heads.rows):
                pinned[classes[cells]] = True
    stays |= pinned
    held = list(tracer.held.values())
    while True:
        removed = ~stays[classes]
        back = [cells for one in held for cells in _too_much(one, removed, empty=id(one.tensor) in empty)]
        back += [cells[:1] for _, _, cells in tracer.heads if bool(removed[cells].all())]
        back += [cells for heads in tracer.attentions for cells in _ragged(heads, removed)]
        if not back:
            return Choice(flags, classes, removed, pinned[classes], empty)
        stays[classes[torch.cat(back)]] = True


def _too_much(held: Held, removed: Tensor, *, empty: bool) -> list[Tensor]:
    """Cells that must stay so that a tensor keeps at least one index, and stays a whole block."""
    axes = [] if empty else [cells for axis, cells in held.axes.items() if axis >= 0 and len(cells)]
    back = [cells[:1] for cells in axes if bool(removed[cells].all())]
    if held.elements is not None:
        gone = removed[held.elements]
        block = torch.zeros_like(gone)
        for axis, kept in _axes_of(gone).items():
            block |= ~kept.view([-1 if other == axis else 1 for other in range(gone.dim())])
        alone = gone & ~block
        if bool(alone.any()):
            back.append(held.elements[alone])
        elif gone.numel() and bool(gone.all()):
            back.append(held.elements.reshape(-1)[:1])
    return back


def _ragged(heads: Heads, removed: Tensor) -> list[Tensor]:
    """Cells that must stay so that all remaining heads have the same number of channels."""
    query, rows = ~removed[heads.query], ~removed[heads.rows]
    left = rows.any(1) | query.any(1)
    left[0] |= not bool(left.any())
    back = []
    for cells, kept in ((heads.query, query), (heads.rows, rows)):
        most = max(int(kept.sum(1).max()), 1)
        for head in left.nonzero()[:, 0].tolist():
            missing = most - int(kept[head].sum())
            back += [cells[head][~kept[head]][:missing]]
    back.append(heads.value[rows & removed[heads.value]])
    return [cells for cells in back if len(cells)]


def _axes_of(gone: Tensor) -> dict[int, Tensor]:
    """The kept indices of each axis along which whole slices are removed."""
    found = {}
    for axis in range(gone.dim()):
        whole = gone.movedim(axis, 0).reshape(gone.shape[axis], -1).all(1)
        if bool(whole.any()):
            found[axis] = ~whole
    return found
