"""The command that measures several processes, and the table that is made of what it writes."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks.speed import parallel


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc")
def test_each_method_is_measured_on_each_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision")
    out = tmp_path / "parallel.json"
    monkeypatch.setattr(sys, "argv", ["parallel", "--processes", "1", "2", "--runs", "1", "--out", str(out)])
    parallel.main()
    found = json.loads(out.read_text())
    assert found["command"] == "python -m benchmarks.speed.parallel --processes 1 2 --runs 1 --out parallel.json"
    measured = [(row["method"], row["processes"]) for row in found["rows"]]
    assert sorted(measured) == sorted((method, size) for method in parallel.METHODS for size in (1, 2))
    assert all(row["seconds"]["lowest"] > 0 for row in found["rows"])
    (header, *rows), where = importlib.import_module("shared").parallel(found)
    assert {len(row) for row in rows} == {len(header)}
    assert len(rows) == 6
    assert "medians of 1 runs" in where
