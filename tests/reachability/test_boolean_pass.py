"""Forward passes that write in place are followed as any others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torch_synflow import diagnostics, prune


class TwoPreactivations(nn.Module):
    """Both branches normalise what they read and rectify that in place, as a dual path network does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 1)
        self.first = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))
        self.second = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.first(x) + self.second(x)


def test_two_activations_in_place_behind_norms_of_one_tensor() -> None:
    torch.manual_seed(0)
    model, x = TwoPreactivations().eval(), torch.rand(1, 2, 3, 3)
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=x, iterations=2)
    found = diagnostics.trainability(model, x)
    assert found.verdict.startswith("every output has a path from the input")
