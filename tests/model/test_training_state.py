"""Snapshots of a training: what they hold, what rewinding undoes, and what is refused."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import nn

from benchmarks.faults.fingerprint import bits, fingerprint
from tests.cases import MODELS, ModelCase
from tests.masks import distinct, listed, mask_of
from torch_synflow import prune, rewinding
from torch_synflow.model import training_state


def step(model: nn.Module, optimizer: torch.optim.Optimizer, case: ModelCase) -> None:
    optimizer.zero_grad()
    case.loss_fn(case.outputs(model), case.batch()[1]).backward()
    optimizer.step()


@pytest.mark.parametrize("case", [case for case in MODELS if not case.half], ids=lambda case: case.name)
def test_rewinding_undoes_training_and_keeps_what_was_pruned_meanwhile(case: ModelCase) -> None:
    model = case.build()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1, momentum=0.9)
    step(model, optimizer, case)
    values = {name.replace("_orig", ""): t.clone() for name, t in model.state_dict().items() if "_mask" not in name}
    momentum = copy.deepcopy(optimizer.state_dict())
    start = rewinding.take_snapshot(model, optimizer)
    step(model, optimizer, case)
    prune.global_iterative_unstructured(listed(model), prune.L1Unstructured, 0.5)
    parameters = [id(parameter) for parameter in model.parameters()]
    masks = [mask_of(pair).clone() for pair in distinct(model)]
    step(model, optimizer, case)
    rewinding.rewind(model, start, optimizer)
    after = {name.replace("_orig", ""): t for name, t in model.state_dict().items() if "_mask" not in name}
    assert {name: bits(tensor) for name, tensor in after.items()} == {n: bits(t) for n, t in values.items()}
    assert [id(parameter) for parameter in model.parameters()] == parameters
    assert all(torch.equal(a, mask_of(pair)) for a, pair in zip(masks, distinct(model), strict=True))
    for module, name in distinct(model):
        assert torch.equal(getattr(module, name), getattr(module, f"{name}_orig") * getattr(module, f"{name}_mask"))
    for number, state in momentum["state"].items():
        assert torch.equal(optimizer.state_dict()["state"][number]["momentum_buffer"], state["momentum_buffer"])


def test_training_from_a_rewound_state_is_training_from_that_step() -> None:
    case = MODELS[7]
    model = case.build()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    step(model, optimizer, case)
    start = rewinding.take_snapshot(model, optimizer)
    runs = []
    for _ in range(2):
        for _ in range(3):
            step(model, optimizer, case)
        runs.append([bits(tensor) for tensor in model.state_dict().values()])
        rewinding.rewind(model, start, optimizer)
    assert runs[0] == runs[1]


def test_a_snapshot_is_a_copy_and_can_be_used_again() -> None:
    model = nn.Linear(5, 3)
    start = rewinding.take_snapshot(model)
    first = model.weight.detach().clone()
    for _ in range(2):
        with torch.no_grad():
            model.weight.mul_(3)
        rewinding.rewind(model, start)
        assert torch.equal(model.weight, first)


def test_learning_rates_are_rewound() -> None:
    model = nn.Linear(5, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    start = rewinding.take_snapshot(model, optimizer)
    optimizer.param_groups[0]["lr"] = 0.001
    rewinding.rewind(model, start, optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.1


OTHERS = {
    r"weight: shape \(3, 4\), expected \(3, 5\)": lambda: nn.Linear(4, 3),
    r"bias: the snapshot has no such tensor": lambda: nn.Linear(5, 3, bias=False),
    r"0\.bias: the model has no such tensor": lambda: nn.Sequential(nn.Linear(5, 3)),
}


@pytest.mark.parametrize("message", OTHERS)
def test_a_snapshot_of_another_model_is_one_error_and_changes_nothing(message: str) -> None:
    model = nn.Linear(5, 3)
    torch_prune.l1_unstructured(model, "weight", 0.5)
    other = rewinding.take_snapshot(OTHERS[message]())
    before = fingerprint(model)
    with pytest.raises(
        ValueError, match=rf"snapshot: expected a snapshot of the same model, got one of another model \({message}"
    ):
        rewinding.rewind(model, other)
    assert fingerprint(model) == before


def test_a_snapshot_of_another_optimiser_is_one_error_and_changes_nothing() -> None:
    model = nn.Linear(5, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before = fingerprint(model)
    with pytest.raises(ValueError, match=r"snapshot: expected a snapshot with an optimiser, got one without"):
        rewinding.rewind(model, rewinding.take_snapshot(model), optimizer)
    other = rewinding.take_snapshot(model, torch.optim.SGD([model.weight], 0.1))
    with pytest.raises(ValueError, match=r"optimizer: expected groups of \[1\] parameters .*, got \[2\]"):
        rewinding.rewind(model, other, optimizer)
    assert fingerprint(model) == before


def test_what_is_no_snapshot_or_model_is_refused() -> None:
    with pytest.raises(TypeError, match="snapshot: expected the result of take_snapshot, got dict"):
        rewinding.rewind(nn.Linear(2, 2), {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"model: expected an nn\.Module, got dict"):
        rewinding.take_snapshot({})  # type: ignore[arg-type]


def test_an_interrupted_rewind_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    start = rewinding.take_snapshot(model)
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    with torch.no_grad():
        model[0].weight_orig.mul_(3)
    values = [bits(tensor) for tensor in model.state_dict().values()]

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_state, "refresh", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rewinding.rewind(model, start)
    assert [bits(tensor) for tensor in model.state_dict().values()] == values
