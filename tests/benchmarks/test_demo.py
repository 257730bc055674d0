"""What the demo prunes: exact, and without a warning for what the picture shows."""

from __future__ import annotations

import warnings

import pytest

pytest.importorskip("sklearn")

from benchmarks import demo


def test_magnitude_pruning_to_the_limit_empties_layers_and_warns_of_none() -> None:
    total, layers, _ = demo.size("Residual network")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, row = demo.pruned("Residual network", "magnitude", 0, demo.STEPS)
    assert row["kept"] == layers
    assert row["density"] == layers / total
    assert row["empty_layers"]
