"""The table of the messages behind a "no" gives the cause of scores that are zero."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sphinx")
import surveyed


def test_zero_scores_are_listed_with_their_cause() -> None:
    row = {
        "library": "timm",
        "family": "own",
        "model": "net",
        "scores": "2 of 9 zero",
        "said": "SynFlow: on no path: aux",
    }
    found: dict[str, Any] = {"rows": [row, {**row, "model": "other", "scores": "positive"}], "versions": {"torch": "2"}}
    rows, _ = surveyed.reasons(found)
    assert rows[1:] == [["``net``", "``2 of 9 zero (SynFlow: on no path: aux)``"]]
