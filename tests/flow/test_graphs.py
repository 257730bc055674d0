"""The graph of a pass is freed before the next pass makes one; together they would need twice the memory."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import Tensor, nn

from torch_synflow import diagnostics, prune


class Mark:
    """An object that lives as long as a node of a graph."""


class Gated(nn.Module):
    """A gated network, for which there are several passes; it counts the graphs of earlier ones."""

    def __init__(self, graphs: list[weakref.ref[Mark]], alive: list[int]) -> None:
        super().__init__()
        self.first, self.gate, self.value, self.last = (nn.Linear(4, 4) for _ in range(4))
        self._lists = graphs, alive

    def forward(self, x: Tensor) -> Tensor:
        graphs, alive = self._lists
        alive.append(sum(graph() is not None for graph in graphs))
        x = self.first(x)
        if x.grad_fn is not None:
            x.grad_fn.metadata["mark"] = mark = Mark()
            graphs.append(weakref.ref(mark))
        return self.last(self.value(x) * torch.sigmoid(self.gate(x)))


@pytest.mark.parametrize("pruned", [False, True])
def test_each_pass_finds_the_graphs_of_earlier_ones_freed(pruned: bool) -> None:
    graphs: list[weakref.ref[Mark]] = []
    alive: list[int] = []
    model, x = Gated(graphs, alive).eval(), torch.ones(1, 4)
    if pruned:  # an empty gate, which makes diagnostics look for what else opens it
        prune.custom_from_mask(model.gate, "weight", torch.zeros(4, 4))
    else:
        prune.SynFlow.scores(model, example_inputs=x)
        assert len(graphs) > 1
    diagnostics.trainability(model, x)
    assert len(graphs) > 2
    assert set(alive) == {0}
