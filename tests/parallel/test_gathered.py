"""Whole weights are in memory where a layer computes, and no longer: what a rank needs falls with their number."""

from __future__ import annotations

from pathlib import Path

from tests.parallel.launching import torchrun
from tests.parallel.programs.gathered import most_allowed


def test_one_or_two_of_eight_weights_are_whole_at_a_time(tmp_path: Path) -> None:
    for rank in torchrun("gathered", 2, tmp_path):
        assert len(rank) == 9
        assert {key: most for key, most in rank.items() if most > most_allowed(*key)} == {}
