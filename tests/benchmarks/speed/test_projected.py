"""What large models would cost follows from the measured file alone."""

from __future__ import annotations

import json

import pytest

from benchmarks.origin import RESULTS
from benchmarks.speed.projected import GATHERED, LINK, MODELS, RANKS, counted, projection


def runs(method: str, seconds: float) -> list[dict[str, object]]:
    """A million weights: 1000 bytes, and 20 for each weight of a rank."""
    rank = {"weights": 1_000_000, "seconds": seconds}
    return [
        {"method": method, "ranks": n, "of_ranks": [{**rank, "peak": 1000 + 20_000_000 // n - k} for k in range(n)]}
        for n in (1, 2, 4)
    ]


def test_a_rank_needs_a_constant_and_so_much_for_each_weight_that_it_holds() -> None:
    found = {"model": {"width": 10**6, "iterations": 2}, "rows": [*runs("synflow", 6.0), *runs("snip", 1.0)]}
    rows = projection(found, {"synflow": 3, "snip": 2})
    assert [(row["model"], row["ranks"]) for row in rows[: len(rows) // 2]] == [(m, n) for m in MODELS for n in RANKS]
    first = rows[0]  # 7 B over 8 ranks
    assert first["peak"] == pytest.approx(1000 + 20 * 7e9 / 8)
    assert first["received"] == pytest.approx(3 * GATHERED * 7e9 * 7 / 8)
    assert first["seconds_received"] == pytest.approx(first["received"] / LINK)
    assert first["seconds_on_a_thread"] == pytest.approx(3.0 * 7000)
    assert rows[-1]["seconds_on_a_thread"] == pytest.approx(70_000)


def test_the_file_is_what_follows_from_the_measured_one() -> None:
    found = json.loads((RESULTS / "projected.json").read_text())
    measured = json.loads((RESULTS / "sharded.json").read_text())
    assert found["of"] == measured["git"], "sharded.json is newer: run python -m benchmarks.speed.projected"
    assert json.loads(json.dumps(projection(measured, found["gathers"]))) == found["rows"]


@pytest.mark.slow
def test_synflow_gathers_a_weight_three_times_where_there_are_gates_and_snip_twice() -> None:
    assert counted() == {"synflow": 3, "snip": 2, "magnitude": 0}
