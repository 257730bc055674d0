"""What the engine's tests share."""

from __future__ import annotations

import pytest

from torch_synflow.flow.engine import contributions, layers, replay
from torch_synflow.selection import threshold


@pytest.fixture
def in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small networks are bracketed, read in several parts, and widened in several."""
    monkeypatch.setattr(layers, "PART", 100)
    monkeypatch.setattr(replay, "PART", 100)
    monkeypatch.setattr(threshold, "_SAMPLE", 64)
    monkeypatch.setattr(contributions, "_LOOKED_UP", 50)
