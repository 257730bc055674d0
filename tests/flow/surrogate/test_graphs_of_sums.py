"""Random graphs of layers and sums, against their definition."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.flow.surrogate.sums import X, plain_scores, shared
from torch_synflow import prune

pytestmark = pytest.mark.filterwarnings("ignore:SynFlow. on no path:UserWarning")


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """Operations on what came before, two operands each."""
    size = draw(st.integers(1, 9))
    return [
        (draw(st.sampled_from(["add", "layer", "add_"])), draw(st.integers(0, k)), draw(st.integers(0, k)))
        for k in range(size)
    ]


class Graph(nn.Module):
    """Layers and sums."""

    def __init__(self, steps: list[tuple[str, int, int]]) -> None:
        super().__init__()
        self.steps = steps
        self.layers = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in steps)
        self.last = nn.Linear(4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        made = [x]
        for (kind, i, j), layer in zip(self.steps, self.layers, strict=True):
            if kind == "layer":
                made.append(layer(made[i]))
            else:
                made.append(made[i] + made[j] if kind == "add" else made[i].clone().add_(made[j]))
        return self.last(made[-1])

    def operands(self, number: int) -> list[int]:
        kind, i, j = self.steps[number - 1]
        return [i] if kind == "layer" else [i, j]

    def needed(self) -> set[int]:
        found = {len(self.steps)}
        for number in range(len(self.steps), 0, -1):
            found.update(self.operands(number) if number in found else [])
        return found

    def written_out(self, x: Tensor) -> Tensor:
        """The network with the factors of its sums as constants, from what the docstring of the method says."""
        needed, made, branches = self.needed(), {0: x}, {0: 1}
        read = Counter(operand for number in needed - {0} for operand in self.operands(number))
        read[len(self.steps)] += 1
        for number in sorted(needed - {0}):
            kind, i, j = self.steps[number - 1]
            if kind == "layer":
                made[number], branches[number] = self.layers[number - 1](made[i]), 1
                continue
            of_first, of_second = (branches[k] if read[k] == 1 else 1 for k in (i, j))
            of = (1 if kind == "add_" else of_first, of_second)  # what is written to is a copy, which is no sum
            made[number], branches[number] = shared(made[i], made[j], of=of), sum(of)
        return self.last(made[len(self.steps)])


@settings(deadline=None, max_examples=100, derandomize=True)
@given(steps=graphs(), seed=st.integers(0, 1000))
def test_graphs_of_sums(steps: list[tuple[str, int, int]], seed: int) -> None:
    torch.manual_seed(seed)
    model = Graph(steps).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    found = prune.BalancedSynFlow.scores(model, example_inputs=X)
    model.forward = model.written_out
    for (layer, _), score in zip(prune.prunable_parameters(model), plain_scores(model), strict=True):
        torch.testing.assert_close(found[layer, "weight"].as_subclass(Tensor), score, rtol=1e-11, atol=1e-300)
