"""Random graphs of layers and sums, and the same graphs with the factors of balanced sums as constants."""

from __future__ import annotations

from collections import Counter

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.flow.surrogate.sums import shared

#: an operation, and the numbers of its two operands
Step = tuple[str, int, int]
#: three positions
INPUT = torch.ones(1, 3, 4, dtype=torch.float64)


@st.composite
def graphs(draw: st.DrawFn) -> list[Step]:
    """Operations on what came before, two operands each."""
    kinds = st.sampled_from(["add", "add_", "layer", "layer", "mean"])
    operands = [st.integers(max(0, k - 2), k) for k in range(draw(st.integers(1, 9)))]  # recent, so that few are unread
    return [(draw(kinds), draw(each), draw(each)) for each in operands]


class Graph(nn.Module):
    """Layers and sums, also of what has three positions and their mean, between a first and a last layer."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps = steps
        self.first = nn.Linear(4, 4, bias=False)
        self.layers = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in steps)
        self.last = nn.Linear(4, 3, bias=False)

    @classmethod
    def positive(cls, steps: list[Step], seed: int) -> Graph:
        """In float64."""
        torch.manual_seed(seed)
        model = cls(steps).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.abs_()
        return model

    def forward(self, x: Tensor) -> Tensor:
        made = [self.first(x)]
        for (kind, i, j), layer in zip(self.steps, self.layers, strict=True):
            if kind == "layer":
                made.append(layer(made[i]))
            elif kind == "mean":
                made.append(made[i].mean(1, keepdim=True))
            else:
                made.append(made[i].clone().add_(made[j]) if _in_place(kind, made[i], made[j]) else made[i] + made[j])
        return self.last(made[-1])

    def operands(self, number: int) -> list[int]:
        """The numbers of what an operation reads."""
        kind, i, j = self.steps[number - 1]
        return [i, j] if kind.startswith("add") else [i]

    def needed(self) -> set[int]:
        """The numbers of what the last layer depends on."""
        found = {len(self.steps)}
        for number in range(len(self.steps), 0, -1):
            found.update(self.operands(number) if number in found else [])
        return found

    def written_out(self, x: Tensor) -> Tensor:
        """The network with the factors of its sums as constants, from what the docstring of the method says."""
        needed, made, branches = self.needed(), {0: self.first(x)}, {0: 1}
        read = Counter(operand for number in needed - {0} for operand in self.operands(number))
        read[len(self.steps)] += 1
        for number in sorted(needed - {0}):
            kind, i, j = self.steps[number - 1]
            branches[number] = 1
            if kind == "layer":
                made[number] = self.layers[number - 1](made[i])
            elif kind == "mean":
                made[number] = made[i].mean(1, keepdim=True)
            else:
                of_first, of_second = (branches[k] if read[k] == 1 else 1 for k in (i, j))
                if _in_place(kind, made[i], made[j]):  # what is written to is a copy, which is no sum
                    of_first = 1
                both = torch.broadcast_tensors(made[i], made[j])
                made[number], branches[number] = shared(*both, of=(of_first, of_second)), of_first + of_second
        return self.last(made[len(self.steps)])

    def cuts(self) -> list[list[str]]:
        """Names of layers that all paths cross once: between what is computed first and what later."""
        needed, found = sorted(self.needed()), [["first"], ["last"]]
        for done in needed[:-1]:
            crossing = [n for n in needed if n > done and any(k <= done for k in self.operands(n))]
            if all(self.steps[n - 1][0] == "layer" for n in crossing):
                found.append([f"layers.{n - 1}" for n in crossing])
        return found


def _in_place(kind: str, first: Tensor, second: Tensor) -> bool:
    return kind == "add_" and len(first[0]) >= len(second[0])
