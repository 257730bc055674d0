"""After any injected failure, on any model, nothing has changed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.faults import injected
from benchmarks.faults.injection import inject
from tests.benchmarks.faults.losses import nothing_lost


@pytest.mark.parametrize("first", range(0, 160, 20))
def test_nothing_is_lost_after_an_injected_failure(first: int) -> None:
    nothing_lost([inject(seed) for seed in range(first, first + 20)])


@pytest.mark.parametrize("how", ["operations", "functions", "moments"])
def test_nothing_is_lost_wherever_torch_or_the_library_is(how: str) -> None:
    nothing_lost([inject(seed, how) for seed in range(1000, 1008)])


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_nothing_is_lost_after_thousands_of_failures(part: int) -> None:
    """Other ones each time."""
    seed = random.SystemRandom().randrange(10**9)
    nothing_lost([inject(seed + number) for number in range(300)])


def test_the_command_counts_what_was_reached_and_says_where_it_comes_from(tmp_path: Path) -> None:
    out = tmp_path / "new" / "injected.json"
    assert injected.main(["--trials", "5", "--seed", "3", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert {"command", "date", "git", "device", "versions", "rows"} <= found.keys()
    assert str(tmp_path) not in out.read_text()
    assert all(row.keys() == {"kind", "trials", "survived"} for row in found["rows"])
    assert sum(row["trials"] for row in found["rows"]) == sum(row["survived"] for row in found["rows"]) > 0
