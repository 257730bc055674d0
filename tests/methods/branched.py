"""Random networks with one sum, whose branches are chains that can be pruned at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from torch_synflow import prune

#: five positions for convolutions, which layers of one position each read alike
INPUT = torch.ones(1, 3, 5, dtype=torch.float64)
WIDTH = 4


class Branched(nn.Module):
    """A first layer, a sum of chains and perhaps of a shortcut, and what reads the sum."""

    def __init__(self, widths: Sequence[Sequence[int]], *, kernel: int, bias: bool, shortcut: bool) -> None:
        super().__init__()
        self.first = nn.Conv1d(3, WIDTH, kernel, padding="same", bias=False)
        self.branches = nn.ModuleList(self._chain(inner, kernel, bias) for inner in widths)
        self.shortcut = shortcut
        self.last = nn.Sequential(nn.Conv1d(WIDTH, 6, 1, bias=False), nn.ReLU(), nn.Conv1d(6, 2, 1, bias=False))

    @staticmethod
    def _chain(inner: Sequence[int], kernel: int, bias: bool) -> nn.Sequential:
        chain: list[nn.Module] = []
        for before, after in zip((WIDTH, *inner), (*inner, WIDTH), strict=True):
            chain += [nn.Conv1d(before, after, kernel, padding="same", bias=bias), nn.ReLU()]
        return nn.Sequential(*chain[:-1])

    def parts(self, x: Tensor) -> list[Tensor]:
        """The branches of the sum."""
        x = self.first(x)
        return [*(branch(x) for branch in self.branches), *[x] * self.shortcut]

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.parts(x)
        for other in others:
            first = first + other
        return self.last(first)


@dataclass(frozen=True)
class Drawn:
    """How to build one such network, with positive weights and random masks in its branches."""

    widths: tuple[tuple[int, ...], ...]
    kernel: int
    bias: bool
    shortcut: bool
    density: float
    seed: int

    def build(self) -> Branched:
        torch.manual_seed(self.seed)
        model = Branched(self.widths, kernel=self.kernel, bias=self.bias, shortcut=self.shortcut).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.abs_()
        for layer in [layer for layer in model.branches.modules() if isinstance(layer, nn.Conv1d)]:
            prune.custom_from_mask(layer, "weight", (torch.rand_like(layer.weight) < self.density).double())
        return model


def networks(*, bias: bool) -> st.SearchStrategy[Drawn]:
    """Two to four branches of one to three layers."""
    chains = st.lists(st.integers(1, 9), max_size=2).map(tuple)
    return st.builds(
        Drawn,
        widths=st.lists(chains, min_size=2, max_size=3).map(tuple),
        kernel=st.sampled_from([1, 3]),
        bias=st.booleans() if bias else st.just(False),
        shortcut=st.booleans(),
        density=st.sampled_from([1.0, 0.5, 0.2]),
        seed=st.integers(0, 10_000),
    )
