"""An interrupt at any bytecode leaves the model and torch as they were, or the model pruned completely."""

from __future__ import annotations

import copy
import gc
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.fingerprint import fingerprint
from tests.masks import masks_of
from tests.model.interrupting import PACKAGE, interrupted_at, places_of
from torch_synflow import prune
from torch_synflow._torch.thread_state import ThreadState

X = torch.ones(4, 5)
BATCH = {"data": (X, torch.arange(4) % 2), "loss_fn": F.cross_entropy}
#: files in which something is put back
CLOSING = tuple(f"{PACKAGE}/{name}.py" for name in ("model/transaction", "scoring/opening", "model/masks", "loop"))


class Net(nn.Module):
    """With a gate, so that the pass is made twice, and a hook of the user's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate, self.last = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.first.register_full_backward_hook(lambda *_: None)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        return self.last(h * torch.sigmoid(self.gate(h)))


def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().train()


def pruned(model: nn.Module, method: Any, arguments: dict[str, Any]) -> None:
    prune.global_iterative_unstructured(model, method, 0.5, iterations=2, **arguments)


def scored(model: nn.Module, method: Any, arguments: dict[str, Any]) -> None:
    method.scores(model, **arguments)


def check(run: Callable[..., None], method: Any, arguments: dict[str, Any], seed: int, most: int) -> None:
    expected = net()
    run(expected, method, arguments)
    whole = masks_of(expected) if run is pruned else None
    generator = random.Random(seed)
    places = places_of(lambda: run(net(), method, arguments))
    closing = [place for place in places if place[0].co_filename in CLOSING or "exit" in place[0].co_name]
    others = [place for place in places if place not in closing]
    chosen = generator.sample(closing, min(len(closing), most)) + generator.sample(others, min(len(others), most // 4))
    arrived = 0
    for code, offset in chosen:
        model, time = net(), generator.choice((1, 1, 2, 3))
        before, state = fingerprint(model), ThreadState()
        arrived += interrupted_at((code, offset), time, lambda model=model: run(model, method, arguments))
        where = f"{Path(code.co_filename).name}, {code.co_name}, bytecode {offset}, time {time}, seed {seed}"
        assert vars(ThreadState()) == vars(state), where
        if run is pruned and prune.is_pruned(model):
            assert all(map(torch.equal, masks_of(model), whole)), where
            continue
        assert fingerprint(model) == before, where
        gc.collect()
        assert fingerprint(model) == before, where
        run(copy.deepcopy(model), method, arguments)
        run(model, method, arguments)
        gc.collect()  # nothing that still waited rolls this run back
        if run is pruned:
            assert all(map(torch.equal, masks_of(model), whole)), where
    assert arrived > most // 4


RUNS = [
    pytest.param(run, method, arguments, id=f"{run.__name__}-{method.__name__}")
    for run in (pruned, scored)
    for method, arguments in (
        (prune.SynFlow, {"example_inputs": X}), (prune.SNIP, BATCH), (prune.GraSP, BATCH),
    )
]  # fmt: skip


@pytest.mark.parametrize(("run", "method", "arguments"), RUNS)
def test_an_interrupt_at_any_bytecode(run: Any, method: Any, arguments: dict[str, Any]) -> None:
    check(run, method, arguments, seed=random.randrange(10**6), most=12)


@pytest.mark.slow
@pytest.mark.parametrize(("run", "method", "arguments"), RUNS)
def test_an_interrupt_at_every_bytecode(run: Any, method: Any, arguments: dict[str, Any]) -> None:
    check(run, method, arguments, seed=0, most=100_000)
