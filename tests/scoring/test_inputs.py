"""A forward that writes to its inputs leaves the user's data alone, and scores are those of one that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.masks import masks_of
from torch_synflow import prune


def relu_(x: Tensor) -> Tensor:
    return F.relu(x, inplace=True)


def subtract_(x: Tensor) -> Tensor:
    return x.sub_(0.5)


def assigned(x: Tensor) -> Tensor:
    x[:, 0] = x[:, 1]
    return x


def by_name(x: Tensor) -> Tensor:
    return torch.relu_(input=x)


WRITES: list[tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
    (relu_, F.relu), (subtract_, lambda x: x - 0.5), (assigned, lambda x: torch.cat([x[:, 1:2], x[:, 1:]], 1)),
    (by_name, F.relu),
]  # fmt: skip


class Net(nn.Module):
    def __init__(self, before: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.before = before
        self.first, self.last = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(self.before(x))))


def net(before: Callable[[Tensor], Tensor]) -> Net:
    torch.manual_seed(0)
    return Net(before)


@pytest.mark.parametrize("method", [prune.SynFlow, prune.SNIP, prune.GraSP, prune.IterativeSNIP, prune.FORCE])
@pytest.mark.parametrize(("writes", "reads"), WRITES, ids=lambda function: getattr(function, "__name__", ""))
def test_the_users_batches_stay_as_they_are(method: Any, writes: Any, reads: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    loader = [(torch.randn(6, 5, generator=generator), torch.arange(6) % 3) for _ in range(2)]
    x = loader[0][0]
    before = [(inputs.clone(), targets.clone()) for inputs, targets in loader]
    arguments = {"data": loader, "loss_fn": F.cross_entropy} if "data" in method.needs else {"example_inputs": x}
    found, expected = net(writes), net(reads)
    for model in (found, expected):
        prune.global_iterative_unstructured(model, method, 0.5, iterations=3, **arguments)
    for (inputs, targets), (inputs_before, targets_before) in zip(loader, before, strict=True):
        assert torch.equal(inputs, inputs_before)
        assert torch.equal(targets, targets_before)
    assert all(map(torch.equal, masks_of(found), masks_of(expected)))
