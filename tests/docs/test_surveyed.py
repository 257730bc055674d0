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


def test_the_table_is_sorted_by_family_and_names_it() -> None:
    row = {"library": "timm", "iterations": 20, "git": "abc", "listed": 1.0, "scores": "positive"}
    found: dict[str, Any] = {
        "rows": [{**row, "family": "vision_transformer", "model": "a"}, {**row, "family": "byobnet", "model": "b"}],
        "versions": {"torch": "2"},
    }
    header, *rows = surveyed.survey(found, "timm")[0]
    assert header[:2] == ["family", "model"]
    assert [cells[:2] for cells in rows] == [["byobnet", "``b``"], ["vision\\_\u200btransformer", "``a``"]]
