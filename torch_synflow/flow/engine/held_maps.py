"""Operations on a feature map that is held as its different rows and columns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_synflow.flow.engine.runs import Runs


class Take:
    """Rows and columns by index, with -1 beyond the border."""

    def __init__(self, take: Sequence[list[int] | None], beyond: float) -> None:
        self._take = take
        self._beyond = beyond
        self._pads = [take is not None and min(take) < 0 for take in take]
        self._indices: list[Tensor | None] = []

    def __call__(self, x: Tensor) -> Tensor:
        """These rows and columns of ``x``."""
        if not self._indices:  # made once, because making them waits for a GPU
            self._indices = [
                None if take is None else torch.tensor([size if i < 0 else i for i in take], device=x.device)
                for take, size in zip(self._take, x.shape[2:], strict=True)
            ]
        rows, columns = self._indices
        if any(self._pads):
            x = F.pad(x, (0, int(self._pads[1]), 0, int(self._pads[0])), value=self._beyond)
        if rows is not None:
            x = x.index_select(2, rows)
        return x if columns is None else x.index_select(3, columns)


class Total:
    """The sum of all elements of a map in which each row and column stands for several."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._often: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The sum over the map that ``x`` represents."""
        if self._often is None:  # made once, because making it waits for a GPU
            rows, columns = (torch.tensor(lengths, dtype=x.dtype) for lengths in self._runs)
            self._often = torch.outer(rows, columns).to(x.device)
        return (x * self._often).sum()
