"""What did not reach its failure does not count, and a violation fails the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults.report import Finding, command, complete, rows, table

FINDINGS = [
    Finding(1, "data", "a call"),
    Finding(2, "data", "a call", reached=False),
    Finding(3, "data", "a call", violations=["grad"]),
    Finding(4, "loss function", "a call", state="as without the fault"),
]


def test_rows_count_what_was_reached_and_what_survived() -> None:
    assert rows(FINDINGS) == [
        {"kind": "data", "trials": 2, "survived": 1},
        {"kind": "loss function", "trials": 1, "survived": 1},
    ]
    assert complete(FINDINGS) == {"loss function": 1}
    lines = [line.split() for line in table(FINDINGS).splitlines()]
    assert lines[1] == ["data", "3", "2", "1", "0"]
    assert lines[-1] == ["all", "4", "3", "2"]


def test_a_violation_is_printed_with_its_seed_and_fails_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--trials", "4", "--seed", "2", "--out", str(tmp_path / "x.json")]

    def trial(seed: int) -> Finding:
        return Finding(seed, "data", "a call", violations=["grad"] if seed == 2_000_003 else [])

    assert command("injected", "", trial, arguments) == 1
    assert "2000003: data: a call\n    grad" in capsys.readouterr().out
    assert command("injected", "", trial, ["--only", "2000003"]) == 1
    assert command("injected", "", trial, ["--only", "2000002"]) == 0
