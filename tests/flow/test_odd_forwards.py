"""Forwards that name their arguments, build modules, stop gradients, draw numbers, or run in other threads."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.fingerprint import fingerprint
from tests.masks import masks_of
from torch_synflow import prune
from torch_synflow.flow.engine import recorder

X = torch.ones(1, 5)


class Net(nn.Module):
    def __init__(self, between: Callable[..., Tensor]) -> None:
        super().__init__()
        self.between = between
        self.first, self.side, self.last = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(self, self.first(x)))


def net(between: Callable[..., Tensor]) -> Net:
    torch.manual_seed(0)
    return Net(between)


def scores_of(model: nn.Module) -> list[Tensor]:
    return list(prune.synflow_scores(model, X).values())


def builds(model: Net, h: Tensor) -> Tensor:
    made = nn.Linear(8, 8, bias=False, dtype=h.dtype)
    nn.init.normal_(tensor=made.weight)
    nn.init.constant_(tensor=made.weight, val=0.5)
    return made(h)


BY_NAME: list[tuple[Callable[..., Tensor], Callable[..., Tensor]]] = [
    (lambda m, h: torch.relu_(input=h), lambda m, h: torch.relu(h)),
    (lambda m, h: F.linear(input=h, weight=m.side.weight, bias=m.side.bias), lambda m, h: m.side(h)),
    (lambda m, h: torch.add(input=m.side(h), other=h), lambda m, h: m.side(h) + h),
    (lambda m, h: torch.mul(input=h, other=2.0), lambda m, h: h * 2.0),
    (builds, lambda m, h: F.linear(h, torch.full((8, 8), 0.5, dtype=h.dtype))),
    (lambda m, h: h * (~torch.zeros(8, dtype=torch.bool)), lambda m, h: h),
]


@pytest.mark.parametrize(("named", "positional"), BY_NAME)
@pytest.mark.filterwarnings("ignore:SynFlow. on no path:UserWarning")
def test_arguments_by_name_score_as_positional_ones(named: Any, positional: Any) -> None:
    for score, expected in zip(scores_of(net(named)), scores_of(net(positional)), strict=True):
        torch.testing.assert_close(score, expected, rtol=1e-12, atol=0)


def stopped(model: Net, h: Tensor) -> Tensor:
    with torch.no_grad():
        half = torch.cat([h[:, :4] * 3, h[:, 4:]], 1)
    return model.side(h + half)


def test_what_runs_without_gradients_scores_the_same_recorded_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded, model = net(stopped), net(stopped)
    prune.global_iterative_unstructured(recorded, prune.SynFlow, 0.6, example_inputs=X, iterations=4)
    monkeypatch.setattr(recorder, "_READ_BY_PYTHON", frozenset(("add", "__add__")))  # nothing can be recorded
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.6, example_inputs=X, iterations=4)
    assert all(map(torch.equal, masks_of(recorded), masks_of(model)))


GENERATOR = torch.Generator()
DRAWS: dict[str, Callable[..., Tensor]] = {
    "torch": lambda m, h: h * torch.rand(()),
    "Python's random": lambda m, h: h * random.random(),
    "generator": lambda m, h: h * torch.rand((), generator=GENERATOR),
}
if torch.cuda.is_available():
    torch.cuda.init()
    DRAWS["torch.cuda"] = lambda m, h: h * torch.rand((), device="cuda").to(h)


@pytest.mark.parametrize("source", DRAWS)
@pytest.mark.filterwarnings("ignore:SynFlow. on no path:UserWarning")
def test_draws_are_not_frozen_into_the_recording_and_are_logged(source: str, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[float] = []

    def between(model: Net, h: Tensor) -> Tensor:
        calls.append(1)
        return DRAWS[source](model, h)

    with caplog.at_level(logging.INFO, logger="torch_synflow"):
        prune.global_iterative_unstructured(net(between), prune.SynFlow, 0.5, example_inputs=X, iterations=3)
    assert len(calls) >= 3
    assert source in caplog.text


def in_threads(model: Net, h: Tensor) -> Tensor:
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(model.side, [h, h]))


def test_layers_in_other_threads_are_refused_by_name() -> None:
    model = net(in_threads)
    before = fingerprint(model)
    with pytest.raises(RuntimeError, match=r"runs in the calling thread.* got 'side' in another thread"):
        scores_of(model)
    assert fingerprint(model) == before


def test_two_threads_score_one_model_as_one_does() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(5, 5), nn.ReLU())])
    batch = (torch.rand(8, 5), torch.arange(8) % 5)
    expected = [*prune.synflow_scores(model, X).values(), *prune.snip_scores(model, batch, F.cross_entropy).values()]
    before = fingerprint(model)

    def both(_: int) -> list[Tensor]:
        flow = prune.synflow_scores(model, X)
        return [*flow.values(), *prune.snip_scores(model, batch, F.cross_entropy).values()]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(both, range(12)):
            assert all(map(torch.equal, found, expected))
    assert fingerprint(model) == before
