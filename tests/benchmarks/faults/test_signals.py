"""Real signals at any moment lose nothing, and a call that they break is found."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from benchmarks.faults import signals
from benchmarks.faults.calls import Call
from benchmarks.faults.models import Subject
from benchmarks.faults.report import APART
from tests.benchmarks.faults.losses import nothing_lost


def test_nothing_is_lost_after_a_signal() -> None:
    findings = list(signals.in_processes(range(40)))
    assert len(findings) == 40
    reached = [finding for finding in findings if finding.reached]
    nothing_lost(reached, "signals")
    assert len(reached) > 12
    assert {finding.state for finding in reached} <= {"as it was", "as without the fault"}


@pytest.mark.slow
def test_nothing_is_lost_after_a_thousand_signals() -> None:
    seed = random.SystemRandom().randrange(10**9)
    findings = list(signals.in_processes(range(seed, seed + 1000)))
    nothing_lost([finding for finding in findings if finding.reached], "signals")
    assert len(findings) == 1000


def half(subject: Subject) -> None:
    """Changes a weight, takes its time, and changes it back."""
    weight = next(subject.model.parameters())
    weight.requires_grad_(False).neg_()
    time.sleep(0.01)
    weight.neg_()


def test_a_call_that_a_signal_leaves_half_done_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "random_call", lambda draw: Call("half", half, writes=True))
    with signals.Sender() as sender:
        findings = [signals.interrupt(seed, sender) for seed in range(8)]
    assert any(finding.reached and finding.violations for finding in findings)


def test_a_process_that_dies_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "ROOT", Path("/"))  # where there are no benchmarks
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (finding,) = signals.in_processes([APART])
    assert finding.violations


def test_the_command_writes_where_its_numbers_come_from(tmp_path: Path) -> None:
    out = tmp_path / "signals.json"
    assert signals.main(["--trials", "8", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["command"] == "python -m benchmarks.faults.signals --trials 8 --out signals.json"
    assert sum(row["trials"] for row in found["rows"]) > 0
