"""The tables of what was survived, as the page of guarantees shows them."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sphinx")
import measured

FOUND: dict[str, Any] = {
    "rows": [{"kind": "data", "trials": 1200, "survived": 1199}, {"kind": "callback", "trials": 5, "survived": 5}],
    "command": "python -m benchmarks.faults.injected --trials 1205",
    "device": "cpu",
    "threads": 1,
    "versions": {"torch": "2.2.2"},
}


def test_survived_adds_up_and_names_its_command() -> None:
    rows, where = measured.survived(FOUND)
    assert rows == [
        ["kind", "trials", "survived"],
        ["data", "1,200", "1,199"],
        ["callback", "5", "5"],
        ["all", "1,205", "1,204"],
    ]
    assert FOUND["command"] in where


def test_survived_tells_those_that_were_left_complete() -> None:
    rows, _ = measured.survived({**FOUND, "complete": {"data": 7}})
    assert [row[-1] for row in rows] == ["of these complete", "7", "0", "7"]
