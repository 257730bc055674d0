"""The fuzzer finds what is lost: calls that lose something are caught, each by what it loses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from benchmarks.faults.calls import Call
from benchmarks.faults.fuse import passing
from benchmarks.faults.injection import REFUSAL, UNDISTURBED, inject
from benchmarks.faults.models import Subject, random_subject
from benchmarks.faults.process import process_state
from torch_synflow import prune
from torch_synflow.model import transaction


def first(subject: Subject) -> nn.Module:
    return prune.prunable_parameters(subject.model)[0][0]


def weight(subject: Subject) -> nn.Parameter:
    return next(subject.model.parameters())


def tensors(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for leaf in tree:
            yield from tensors(leaf)


class Passive(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def leave_a_mode(subject: Subject) -> None:
    Passive().__enter__()


def move_a_hook(subject: Subject) -> None:
    hooks = first(subject)._forward_hooks
    first(subject).register_forward_hook(print)
    hooks.move_to_end(next(iter(hooks)), last=False)


def flip_a_mode(subject: Subject) -> None:
    subject.model.training = not subject.model.training


@torch.no_grad()
def write_the_same(subject: Subject) -> None:
    weight(subject).mul_(1)


def set_grad(subject: Subject) -> None:
    weight(subject).grad = torch.zeros_like(weight(subject))


def replace_a_parameter(subject: Subject) -> None:
    name, parameter = next(iter(first(subject)._parameters.items()))
    first(subject)._parameters[name] = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)


LOSSES: list[tuple[Callable[[Subject], object], str]] = [
    (lambda s: weight(s).data.neg_(), "bits"),
    (write_the_same, "version"),
    (set_grad, "grad"),
    (lambda s: weight(s).requires_grad_(not weight(s).requires_grad), "requires_grad"),
    (replace_a_parameter, "object"),
    (flip_a_mode, "training"),
    (move_a_hook, "_forward_hooks"),
    (lambda s: first(s).register_buffer("left", torch.zeros(1)), "_buffers"),
    (lambda s: setattr(first(s), "left", 1), ""),
    (lambda s: torch.rand(1), "random state"),
    (lambda s: next(tensors(s.given)).zero_(), "what the call was given"),
]
LEFT = [(leave_a_mode, "torch function modes"), (lambda s: torch.set_grad_enabled(False), "grad mode")]


@pytest.mark.parametrize(("lose", "where"), LOSSES, ids=[where or "attributes" for _, where in LOSSES])
def test_what_a_failed_call_loses_is_found(lose: Callable[[Subject], object], where: str) -> None:
    def run(subject: Subject) -> None:
        passing("loss function")
        lose(subject)
        passing("data")

    findings = [inject(seed, "calls", Call("broken", run)) for seed in range(6)]
    late = [finding for finding in findings if finding.kind == "data"]
    assert late
    assert all(any(where in text for text in finding.violations) for finding in late)


@pytest.mark.parametrize(("leave", "where"), LEFT, ids=[where for _, where in LEFT])
def test_what_is_left_in_the_process_is_found_and_put_back(leave: Callable[[Subject], object], where: str) -> None:
    def fails(subject: Subject) -> None:
        leave(subject)
        raise ValueError("after that")

    for run, kind in ((leave, UNDISTURBED), (fails, REFUSAL)):
        around = process_state()
        finding = inject(1, "calls", Call("leaves", run))
        assert finding.kind == kind
        assert any(where in text for text in finding.violations)
        assert process_state() == around


def test_a_call_that_loses_nothing_has_no_violation() -> None:
    findings = [inject(seed, "calls", Call("sound", lambda subject: passing("data"))) for seed in range(4)]
    assert [finding.violations for finding in findings] == [[]] * 4
    assert all(finding.reached for finding in findings)


def test_what_is_undone_only_when_the_error_is_gone_is_found() -> None:
    """A generator that is left suspended in a traceback rolls a later, successful run back."""

    @contextmanager
    def rolled_back(module: nn.Module) -> Iterator[None]:
        try:
            yield
        finally:
            module.training = True

    def run(subject: Subject) -> None:
        subject.model.training = True
        suspended = rolled_back(subject.model)
        suspended.__enter__()
        passing("data")
        suspended.__exit__(None, None, None)
        subject.model.training = False

    def prepare(subject: Subject) -> None:
        subject.model.training = True

    finding = inject(1, "calls", Call("suspends", run, prepare))
    assert any("once the error is gone" in text for text in finding.violations)


def test_an_error_that_is_swallowed_is_found_where_the_result_is_another() -> None:
    assert inject(1, "calls", Call("silent", _silent)).violations


def _silent(subject: Subject) -> int:
    """Gives other results where it has failed inside."""
    try:
        passing("data")
    except BaseException:
        subject.model.note = "failed"
    return 0


def test_a_transaction_that_restores_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction.Snapshot, "restore", lambda self: None)
    findings = [inject(seed) for seed in range(25)]
    assert sum(bool(finding.violations) for finding in findings) > 5


def test_a_refusal_is_a_failure_too() -> None:
    def refuses(subject: Subject) -> None:
        first(subject).left = 1
        raise ValueError("refused")

    finding = inject(1, "calls", Call("refuses", refuses))
    assert finding.kind == REFUSAL
    assert finding.violations


def test_models_of_one_seed_are_the_same_and_of_other_seeds_are_not() -> None:
    assert str(random_subject(3).model) == str(random_subject(3).model)
    assert len({str(random_subject(seed).model) for seed in range(20)}) > 15
