"""Iterative magnitude pruning, pruning at a step of training, and what both are worth on real images."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.fingerprint import fingerprint
from torch_synflow import prune, rewinding


class Loop:
    """A training that notes what it was asked, and multiplies the weights."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.calls: list[tuple[int, int | None]] = []

    def __call__(self, start: int, stop: int | None) -> None:
        self.calls.append((start, stop))
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.mul_(2 if stop is None else 3)


def test_the_loop_trains_prunes_and_rewinds() -> None:
    model = nn.Linear(10, 10, bias=False)
    first = model.weight.detach().clone()
    train = Loop(model)
    seen: list[tuple[int, int, bool]] = []

    def callback(level: int, report: prune.PruningReport) -> None:
        seen.append((level, report.kept, torch.equal(model.weight_orig, 3 * first)))

    report = rewinding.iterative_magnitude_pruning(model, train, levels=3, step=7, callback=callback)
    assert train.calls == [(0, 7), (7, None), (7, None), (7, None)]
    assert seen == [(1, 80, True), (2, 64, True), (3, 51, True)]
    assert report.kept == 51
    # magnitudes after training decide: here they are those of the start
    assert torch.equal(model.weight_mask.bool(), first.abs() >= first.abs().flatten().sort().values[-51])


def test_without_a_step_the_first_training_is_that_of_the_first_level() -> None:
    train = Loop(nn.Linear(4, 4))
    rewinding.iterative_magnitude_pruning(train.model, train, levels=2, amount=2)
    assert train.calls == [(0, None), (0, None)]
    assert int(train.model.weight_mask.sum()) == 12


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"levels": 0}, ValueError, "levels: expected at least 1, got 0"),
        ({"levels": 1.5}, TypeError, r"levels: expected an int of at least 1, got 1\.5"),
        ({"levels": 2, "step": -1}, ValueError, "step: expected at least 0, got -1"),
        ({"levels": 2, "amount": 1.5}, ValueError, "amount"),
        ({"levels": 2, "train": None}, TypeError, r"train: expected a function train\(start, stop\), got None"),
        ({"levels": 2, "model": nn.ReLU()}, ValueError, "parameters: expected at least one"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_trained(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    train = Loop(nn.Linear(3, 3))
    before = fingerprint(train.model)
    with pytest.raises(error, match=message):
        rewinding.iterative_magnitude_pruning(**{"model": train.model, "train": train, **arguments})
    assert train.calls == []
    assert fingerprint(train.model) == before


@pytest.mark.parametrize(
    ("at", "remaining", "calls"),
    [
        (0, "from_start", [(0, None)]),
        (5, "from_start", [(0, 5), (0, None)]),
        (None, "from_start", [(0, None), (0, None)]),
        (0, "from_step", [(0, None)]),
        (5, "from_step", [(0, 5), (5, None)]),
    ],
)
def test_pruning_at_a_step_of_training(at: int | None, remaining: str, calls: list[tuple[int, int | None]]) -> None:
    model = nn.Linear(4, 4)
    train = Loop(model)
    report = rewinding.prune_at_step(
        train,
        lambda: prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5),
        step=at,
        remaining=remaining,
    )
    assert train.calls == calls
    assert report.kept == 8


def test_the_whole_schedule_follows_pruning_at_a_step_unless_told() -> None:
    """Frankle et al. 2021, section 3: the training after pruning repeats the schedule from the start."""
    train = Loop(nn.Linear(4, 4))
    rewinding.prune_at_step(
        train, lambda: prune.global_iterative_unstructured(train.model, prune.L1Unstructured, 0.5), step=5
    )
    assert train.calls == [(0, 5), (0, None)]


def test_pruning_at_a_step_names_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="prune: expected a function without arguments"):
        rewinding.prune_at_step(lambda start, stop: None, 0.5, step=0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="step: expected an int"):
        rewinding.prune_at_step(lambda start, stop: None, lambda: None, step="end")  # type: ignore[arg-type, return-value]
    for step, remaining, message in (
        (3, "from_here", "remaining: expected 'from_start' or 'from_step', got 'from_here'"),
        (None, "from_step", "remaining: 'from_step' would leave no training"),
    ):
        train = Loop(nn.Linear(4, 4))
        with pytest.raises(ValueError, match=message):
            rewinding.prune_at_step(train, lambda: None, step=step, remaining=remaining)  # type: ignore[arg-type, return-value]
        assert train.calls == []


def _accuracy(model: nn.Module, data: tuple[Tensor, Tensor]) -> float:
    with torch.no_grad():
        return float((model(data[0]).argmax(1) == data[1]).double().mean())


def test_iterative_magnitude_pruning_improves_on_one_shot_magnitude_on_digits() -> None:
    """Real training at 4 % density, three seeds: ten levels against one, and against magnitude at initialisation."""
    pytest.importorskip("sklearn")
    from benchmarks.training.digits import digits

    train_set, test_set = digits()
    images, labels = train_set.tensors
    found: dict[str, list[float]] = {"ten levels": [], "one level": [], "at initialisation": []}
    for seed, name in product(range(3), found):
        torch.manual_seed(seed)
        hidden = [nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU()]
        model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(50, 10))
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)

        def train(
            start: int, stop: int | None, model: nn.Module = model, optimizer: torch.optim.Optimizer = optimizer
        ) -> None:
            for number in range(start, 200 if stop is None else stop):
                batch = torch.randperm(len(images), generator=torch.Generator().manual_seed(number))[:128]
                optimizer.zero_grad()
                F.cross_entropy(model(images[batch]), labels[batch]).backward()
                optimizer.step()

        if name == "at initialisation":
            report = prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.96)
            train(0, None)
        else:
            levels = 10 if name == "ten levels" else 1
            report = rewinding.iterative_magnitude_pruning(
                model, train, levels=levels, amount=1 - 0.04 ** (1 / levels), step=20, optimizer=optimizer
            )
            train(20, None)
        assert abs(report.density - 0.04) < 0.001
        found[name].append(_accuracy(model, test_set.tensors))
    mean = {name: sum(values) / 3 for name, values in found.items()}
    assert mean["ten levels"] > mean["one level"] + 0.005, found
    assert mean["one level"] > mean["at initialisation"] + 0.005, found
