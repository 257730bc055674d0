"""Rows on layers, on where they collapse, and on scores: what they compute, and what the papers say of it."""

from __future__ import annotations

import math
from statistics import mean
from typing import Any

import pytest
import torch

from benchmarks.fidelity import precision
from benchmarks.fidelity.collapse import first_cut_off, max_compression
from benchmarks.fidelity.conservation import apart, slope
from benchmarks.fidelity.layer_rows import early_layers, trend
from benchmarks.fidelity.rows import rows
from benchmarks.origin import RESULTS
from benchmarks.sweep.store import Store

FIRST, NARROW, WIDE = 432, 2304, 4608
#: ResNet-20's first convolution, those of its first stage, then wider ones with a shortcut, and the classifier
EARLY = [["0.weight", 216, FIRST], *([f"{k}.weight", 1728, NARROW] for k in range(1, 7))]
LATER = [["7.conv1.weight", 1152, WIDE], ["7.shortcut.0.weight", 0, 512], ["8.conv1.weight", 1152, WIDE]]
MASKS: dict[str, Any] = {"layers": [*EARLY, *LATER, ["14.weight", 0, 640]]}


def test_early_layers_are_the_convolutions_of_the_first_stage() -> None:
    assert early_layers(MASKS) == [("0.weight", 50.0), *((f"{k}.weight", 25.0) for k in range(1, 7))]
    shallow = {"layers": [*EARLY[:3], *LATER, ["14.weight", 0, 640]]}
    assert [name for name, _ in early_layers(shallow)] == ["0.weight", "1.weight", "2.weight"]


def test_the_trend_is_of_halves_without_shortcuts_and_classifier() -> None:
    """Of nine convolutions the middle one counts as later: 50, 25, 25, 25 and 25, 25, 25, 75, 75."""
    assert trend(MASKS) == pytest.approx(mean([25, 25, 25, 75, 75]) - mean([50, 25, 25, 25]))
    reverse = {"layers": [*reversed(MASKS["layers"][:-1]), MASKS["layers"][-1]]}
    assert trend(reverse) < 0


def test_max_compression_is_that_of_the_trials() -> None:
    (trial,) = rows()["collapse/synflow/limit"].trials
    record = Store(RESULTS / "trials").read(trial)
    assert record is not None
    assert max_compression(trial.pair) == record["result"]["max_log10_compression"]


def test_both_methods_are_measured_by_the_same_rules() -> None:
    every = rows()
    for method, paper in (("synflow", "< 30"), ("grasp", "> 60")):
        of_mean, of_each = (every[f"early/{method}/resnet20/{rule}"] for rule in ("mean", "each"))
        assert (of_mean.paper, of_mean.low, of_mean.high) == (of_each.paper, of_each.low, of_each.high)
        assert of_mean.paper == paper
        assert of_mean.trials == of_each.trials
        assert of_mean.value(MASKS) == pytest.approx((50 + 6 * 25) / 7)
    assert every["early/synflow/resnet20/each"].value(MASKS) == 50  # the furthest from "less than 30 %"
    assert every["early/grasp/resnet20/each"].value(MASKS) == 25  # the furthest from "more than 60 %"
    even = {"layers": [[f"{k}", 1, 2] for k in range(8)]}
    assert every["late/grasp/resnet20"].value(even, MASKS, MASKS) == pytest.approx(-trend(MASKS))


def test_the_deepest_is_the_one_before_the_first_that_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    depths = {8: "a", 20: "b", 32: "c", 44: "d"}
    monkeypatch.setattr(precision, "is_finite", lambda pair, dtype: pair != "c")
    assert precision.deepest(depths) == 20
    monkeypatch.setattr(precision, "is_finite", lambda pair, dtype: dtype == torch.float64)
    assert (precision.deepest(depths), precision.deepest(depths, torch.float64)) == (0, 44)


def test_the_flow_of_a_deep_network_is_finite_in_double_precision_alone() -> None:
    assert precision.is_finite("cifar10/resnet20", torch.float32)
    assert not precision.is_finite("cifar10/resnet110", torch.float32)
    assert precision.is_finite("cifar10/resnet110", torch.float64)


@pytest.mark.parametrize(
    ("method", "last", "ours", "met"),
    [("magnitude", 2.25, 2.2, False), ("magnitude", 2.25, 2.93, True), ("random", 2.5, 2.4, False),
     ("snip", 3.0, 2.32, False), ("snip-evaluation", 3.0, 3.82, True), ("grasp-evaluation", 3.0, 2.92, False),
     ("grasp", 3.0, 6.02, False)],
)  # fmt: skip
def test_what_trains_in_the_paper_has_no_empty_layer(method: str, last: float, ours: float, met: bool) -> None:
    row = rows()[f"collapse/{method}/vgg16"]
    assert row.low == last
    assert "figure 6" in row.source
    outcome = row.outcome([[{"critical_log10_compression": ours, "max_log10_compression": 6.02}]])
    assert outcome["met"] is met


def test_where_no_weight_is_on_a_path() -> None:
    def masks(*effective: int) -> list[dict[str, int]]:
        return [{"effective": count} for count in effective]

    assert first_cut_off(*masks(9, 0, 0, 0)) == 2.5
    assert first_cut_off(*masks(9, 9, 9, 9)) == math.inf
    assert [round(-math.log10(t.density), 2) for t in rows()["collapse/magnitude/path"].trials] == [2.25, 2.5, 2.75, 3]
    assert rows()["collapse/random/path"].outcome([masks(9, 9, 9, 0)])["met"]
    assert not rows()["collapse/magnitude/path"].outcome([masks(9, 9, 0, 0)])["met"]


def test_scores_of_units_and_layers() -> None:
    assert apart({"into": [1.0, 2.0, 0.0], "out": [2.0, -0.0, 0.0]}) == 75
    assert slope({"layers": [[10, 4.0], [20, -1.0], [30, 0.0]]}) == pytest.approx(2)


def test_only_synaptic_saliency_is_said_to_be_conserved_exactly() -> None:
    """The paper calls GraSP's score closely related (section 4), and its theorems are not about it."""
    for name, row in rows().items():
        if name.startswith("theorem"):
            alone = "grasp-alone" in name
            assert (row.paper, row.bound) == (("not exact", None) if alone else ("0", 1e-9))
            assert row.source.split(", ")[1].startswith("section 4" if alone else "theorem")
        if name.startswith("units"):
            assert (row.bound is None) == ("snip" in name or "grasp" in name)
