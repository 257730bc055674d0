"""The report: numbers worked out by hand, and the table that it prints."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import re

import pytest
import torch
from torch import nn

from torch_synflow import prune
from torch_synflow.report import LayerReport, PruningReport


def test_a_layer_has_a_density() -> None:
    assert LayerReport("fc.weight", 3, 12).density == 0.25
    assert LayerReport("fc.weight", 0, 12).density == 0.0
    assert LayerReport("fc.weight", 3, 12).sparsity == 0.75
    assert LayerReport("nothing", 0, 0).density == 1.0


def test_sums() -> None:
    report = PruningReport((LayerReport("a", 2, 8), LayerReport("b", 0, 4), LayerReport("c", 4, 4)))
    assert report.kept == 6
    assert report.total == 16
    assert report.density == 0.375
    assert report.compression_ratio == pytest.approx(16 / 6)
    assert report.densities == {"a": 0.25, "b": 0.0, "c": 1.0}
    assert report.empty_layers == ("b",)


def test_nothing_kept() -> None:
    report = PruningReport((LayerReport("a", 0, 8), LayerReport("b", 0, 4)))
    assert report.density == 0.0
    assert report.compression_ratio == math.inf
    assert report.empty_layers == ("a", "b")


def test_a_tensor_without_entries_is_dense_and_not_empty() -> None:
    report = PruningReport((LayerReport("none", 0, 0), LayerReport("a", 1, 2)))
    assert report.densities == {"none": 1.0, "a": 0.5}
    assert report.empty_layers == ()
    assert PruningReport((LayerReport("none", 0, 0),)).density == 1.0


def test_it_prints_a_verdict_and_a_table() -> None:
    layers = (LayerReport("conv.weight", 3, 1200), LayerReport("fc", 0, 10), LayerReport("out", 10, 10))
    report = PruningReport(layers, collapsed=("fc",))
    assert str(report).splitlines() == [
        "13 of 1,220 weights kept (density 0.0107, sparsity 0.9893); 1 of 3 layers empty (layer collapse)",
        "layer         kept  total   density  sparsity",
        "conv.weight      3  1,200    0.0025    0.9975",
        "fc               0     10    0.0000    1.0000  empty: layer collapse",
        "out             10     10    1.0000    0.0000",
        "all             13  1,220    0.0107    0.9893  compression ratio 93.8",
    ]
    assert report.verdict == str(report).splitlines()[0]


def test_bypassed_is_said_apart_from_layer_collapse_and_from_what_is_not_known() -> None:
    layers = tuple(LayerReport(name, kept, 4) for name, kept in zip("abcd", (0, 0, 0, 1), strict=True))
    cases = {
        "3 of 4 layers empty": PruningReport(layers),
        "3 of 4 layers empty (bypassed)": PruningReport(layers, bypassed=("a", "b", "c")),
        "3 of 4 layers empty (2 bypassed, 1 layer collapse)": PruningReport(layers, ("a", "c"), ("b",)),
        "3 of 4 layers empty (1 bypassed)": PruningReport(layers, bypassed=("c",)),
        "no layer empty": PruningReport(layers[3:]),
    }
    for words, report in cases.items():
        assert report.verdict.partition("; ")[2] == words
    lines = str(PruningReport(layers, bypassed=("a",), collapsed=("b",))).splitlines()
    assert [line.partition("1.0000")[2] for line in lines[2:5]] == [
        "  empty: bypassed",
        "  empty: layer collapse",
        "  empty",
    ]


def test_nothing_kept_at_all_is_no_layer_collapse() -> None:
    """Layer collapse is a layer with nothing kept while others still have elements."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    text = str(prune.global_iterative_unstructured(model, prune.L1Unstructured, 1.0, example_inputs=torch.ones(1, 2)))
    assert "layer collapse" not in text
    assert "2 of 2 layers empty" in text
    assert text.count("  empty") == 2
    assert text.endswith("compression ratio inf")


def test_the_columns_end_below_their_titles_whatever_the_sizes() -> None:
    report = PruningReport((LayerReport("a.rather.long.name.weight", 1_234_567, 98_765_432), LayerReport("b", 1, 2)))
    ends = [[word.end() for word in re.finditer(r"\S+", line)][1:5] for line in str(report).splitlines()[1:]]
    assert len(ends) == 4
    assert all(row == ends[0] for row in ends)


def test_it_can_not_be_changed_and_compares_and_pickles() -> None:
    report = PruningReport((LayerReport("a", 2, 8),))
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.layers = ()  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.layers[0].kept = 3  # type: ignore[misc]
    assert report == PruningReport((LayerReport("a", 2, 8),))
    assert report != PruningReport((LayerReport("a", 3, 8),))
    assert pickle.loads(pickle.dumps(report)) == report


def test_it_tells_elements_that_are_zero_without_a_mask() -> None:
    report = PruningReport((LayerReport("a", 2, 8, zeros=6), LayerReport("b", 1, 2)))
    assert report.zeros == 6
    assert report.verdict == "3 of 10 weights kept (density 0.3000, sparsity 0.7000); no layer empty; 6 are zero " \
        "without a mask"  # fmt: skip
    assert str(report).splitlines()[2].endswith("0.7500  zeros without a mask")


def test_it_is_a_dictionary_that_json_takes_and_gives_back() -> None:
    report = PruningReport((LayerReport("a", 2, 8), LayerReport("b", 0, 4)), bypassed=("b",))
    found = report.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["kept"], found["total"], found["sparsity"], found["compression_ratio"]) == (2, 12, 1 - 2 / 12, 6.0)
    assert found["bypassed"] == ["b"]
    assert found["layers"][1] == {"name": "b", "kept": 0, "total": 4, "zeros": 0, "density": 0.0, "sparsity": 1.0}
    assert PruningReport((LayerReport("b", 0, 4),)).to_dict()["compression_ratio"] is None


def test_a_notebook_shows_the_rows_of_the_table_with_names_escaped() -> None:
    shown = PruningReport((LayerReport("a<b", 2, 8), LayerReport("c", 0, 4)), collapsed=("c",))._repr_html_()
    assert shown.count("<tr>") == 4
    assert "<td>a&lt;b</td><td>2</td><td>8</td><td>0.2500</td><td>0.7500</td>" in shown
    assert "empty: layer collapse" in shown
    assert "2 of 12 weights kept" in shown


def test_it_draws_a_bar_for_each_layer() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, ax = pyplot.subplots()
    drawn = PruningReport((LayerReport("a.weight", 2, 8), LayerReport("b.weight", 0, 4))).draw(ax)
    assert drawn is ax
    assert [bar.get_height() for bar in ax.patches] == [0.25, 0.0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
    pyplot.close(figure)


def test_what_pruning_returns() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[4.0, 3.0], [0.1, 0.2]]))
        model[2].weight.copy_(torch.tensor([[0.3, 0.4]]))
    report = prune.global_iterative_unstructured(model, prune.L1Unstructured, 4)
    assert report == PruningReport((LayerReport("0.weight", 2, 4), LayerReport("2.weight", 0, 2)))
    assert report.empty_layers == ("2.weight",)
    again = prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    assert again == PruningReport((LayerReport("0.weight", 1, 4), LayerReport("2.weight", 0, 2)))
    assert again.compression_ratio == 6.0


def test_a_tied_tensor_is_reported_once_and_by_its_first_name() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    report = prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    assert report == PruningReport((LayerReport("0.weight", 5, 9),))  # 4.5 rounds to the even 4 to remove


def test_without_a_model_a_tensor_is_named_by_its_place_in_the_list() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Conv1d(2, 2, 1))
    report = prune.global_iterative_unstructured([(model[1], "bias"), (model[0], "weight")], prune.L1Unstructured, 0)
    assert [layer.name for layer in report.layers] == ["parameters[0] (Conv1d.bias)", "parameters[1] (Linear.weight)"]
