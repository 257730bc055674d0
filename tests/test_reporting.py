"""What every report has: a verdict first, a table for terminals and notebooks, plain values, a picture with a title."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from html import unescape
from typing import Any

import pytest
import torch
from torch import nn

from torch_synflow import diagnostics, prune
from torch_synflow._reporting import Report, table


def reports() -> dict[str, Report]:
    """One of each kind, of a small network that has lost a neuron."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.rand(2, 4)
    params = prune.prunable_parameters(model, example_inputs=x)
    by_magnitude = diagnostics.critical_compression(
        model, lambda amount: prune.global_iterative_unstructured(params, prune.L1Unstructured, amount)
    )
    pruned = prune.global_iterative_unstructured(params, prune.SynFlow, 0.8)
    found = [
        pruned,
        by_magnitude,
        diagnostics.compression(model, example_inputs=x),
        diagnostics.conservation(model, x),
        diagnostics.cost(model, x),
        diagnostics.effective_sparsity(model, x),
        diagnostics.layer_scores(model, prune.synflow_scores(model, x)),
        diagnostics.neuron_collapse(model),
        diagnostics.path_norm(model, x),
        diagnostics.shuffled_effect(model, x),
        diagnostics.trainability(model, x),
        prune.shrink(model, x).shrink_report,
    ]
    return {type(report).__name__: report for report in found}


FOUND = reports()


def test_there_is_one_of_each_kind() -> None:
    assert set(FOUND) == {kind.__name__ for kind in Report.__subclasses__() if kind.__module__ != __name__}


@pytest.mark.parametrize("name", FOUND)
def test_it_prints_its_verdict_first_and_a_notebook_shows_the_same_words(name: str) -> None:
    report = FOUND[name]
    assert str(report).splitlines()[0] == report.verdict
    assert repr(report) == str(report)  # what an interactive session shows
    shown = report._repr_html_()
    assert shown.startswith("<p>")
    text = unescape(shown.replace("<", " <").replace(">", "> "))
    assert all(word in text for word in str(report).split())
    assert ("<table>" in shown) == (name != "Trainability")


@pytest.mark.parametrize("name", FOUND)
def test_it_is_plain_values_that_json_takes(name: str) -> None:
    found = FOUND[name].to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["verdict"] == FOUND[name].verdict
    assert not any(key.startswith("_") for key in found)
    for layer in found.get("layers", []):
        assert isinstance(layer, str) or layer["name"]


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.filterwarnings("ignore:Matplotlib")
def test_its_picture_has_the_verdict_as_title_unless_it_has_one(name: str) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, (left, right) = pyplot.subplots(1, 2)
    assert FOUND[name].draw(left) is left
    assert left.get_title() == FOUND[name].verdict
    right.set_title("mine")
    assert FOUND[name].draw(right).get_title() == "mine"
    assert right.has_data()
    pyplot.close(figure)


@pytest.mark.filterwarnings("ignore:Matplotlib")
def test_lines_of_several_methods_on_the_same_axes_have_labels_and_no_title() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    found = FOUND["NeuronCollapse"]
    assert isinstance(found, diagnostics.NeuronCollapse)
    figure, ax = pyplot.subplots()
    for label in ("SNIP", "SynFlow"):
        found.draw(ax, label=label)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["SNIP", "SynFlow"]
    assert ax.get_title() == ""
    pyplot.close(figure)


@dataclass(frozen=True)
class Finding(Report):
    name: str
    ratio: float
    parts: tuple[Any, ...] = ()
    _graph: object = None

    @property
    def verdict(self) -> str:
        return f"{self.name} found"

    def _notes(self) -> tuple[str, ...]:
        return ("a < b",)


def test_what_is_not_finite_is_none_and_what_is_private_is_left_out() -> None:
    inner = Finding("inner", math.nan)
    found = Finding("outer", math.inf, (inner, {"a": (1, 2.5)}), object()).to_dict()
    assert found == {
        "name": "outer",
        "ratio": None,
        "parts": [{"name": "inner", "ratio": None, "parts": [], "verdict": "inner found"}, {"a": [1, 2.5]}],
        "verdict": "outer found",
    }


def test_a_report_without_a_table_has_its_notes_and_they_are_escaped() -> None:
    report = Finding("x & y", 1.0)
    assert str(report) == "x & y found\na < b"
    assert report._repr_html_() == "<p>x &amp; y found</p><p>a &lt; b</p>"


def test_a_table_is_aligned() -> None:
    text = table(["layer", "kept", ""], [["a", "1,000", "empty"], ["long.name", "2", ""]])
    assert text.splitlines() == ["layer       kept", "a          1,000  empty", "long.name      2"]
