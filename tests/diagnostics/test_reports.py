"""What every diagnostic does on every model of the table: the model is only read, and the ends are clear."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import nn

from benchmarks.faults.fingerprint import fingerprint
from tests.cases import MODELS, ModelCase
from torch_synflow import diagnostics, prune

Diagnostic = Callable[[nn.Module, Any], Any]

DIAGNOSTICS: dict[str, Diagnostic] = {
    "compression": lambda model, x: diagnostics.compression(model),
    "neuron_collapse": lambda model, x: diagnostics.neuron_collapse(model),
    "effective_sparsity": lambda model, x: diagnostics.effective_sparsity(model, x),
    "trainability": lambda model, x: diagnostics.trainability(model, x),
    "path_norm": lambda model, x: diagnostics.path_norm(model, x),
    "cost": lambda model, x: diagnostics.cost(model, x),
    "conservation": lambda model, x: diagnostics.conservation(model, x),
}
RUNNABLE = [case for case in MODELS if not case.half]


@pytest.mark.parametrize("name", DIAGNOSTICS)
@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
def test_a_model_is_only_read(case: ModelCase, name: str) -> None:
    model, inputs = case.build(), case.inputs()
    before = fingerprint(model)
    found = DIAGNOSTICS[name](model, inputs)
    assert fingerprint(model) == before
    assert str(found).splitlines()[0] == found.verdict


@pytest.mark.parametrize("name", DIAGNOSTICS)
@pytest.mark.parametrize("case", RUNNABLE, ids=lambda case: case.name)
def test_a_fully_pruned_model_is_only_read(case: ModelCase, name: str) -> None:
    model, inputs = case.build(), case.inputs()
    prune.global_iterative_unstructured(prune.prunable_parameters(model), prune.L1Unstructured, 1.0)
    before = fingerprint(model)
    found = DIAGNOSTICS[name](model, inputs)
    assert fingerprint(model) == before
    assert str(found).splitlines()[0] == found.verdict


@pytest.mark.parametrize("name", DIAGNOSTICS)
@pytest.mark.filterwarnings("ignore:Matplotlib")
def test_each_draws_on_the_axes_that_it_is_given(name: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    for amount in (0.0, 0.6, 1.0):
        case = next(case for case in MODELS if case.name == "residual")
        model = case.build()
        if amount:
            prune.global_iterative_unstructured(model, prune.L1Unstructured, amount)
        figure, ax = pyplot.subplots()
        found = DIAGNOSTICS[name](model, case.inputs())
        assert found.draw(ax) is ax
        figure.canvas.draw()
        assert ax.has_data()
        assert ax.get_title() == found.verdict
        pyplot.close(figure)


def test_without_axes_new_ones_are_made() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    ax = diagnostics.compression(nn.Linear(3, 2)).draw()
    assert ax.has_data()
    pyplot.close(ax.figure)


def test_matplotlib_is_imported_only_when_drawing_and_its_absence_names_the_extra() -> None:
    code = """
import sys, torch
sys.modules["matplotlib"] = None
from torch_synflow import diagnostics
state = diagnostics.compression(torch.nn.Linear(3, 2))
try:
    state.draw()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = 'draw: plots need matplotlib, which is not installed: pip install "torch_synflow[draw]"'
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_a_model_without_prunable_layers_is_one_error(name: str) -> None:
    for model in (nn.Sequential(nn.ReLU()), nn.BatchNorm1d(3)):
        before = fingerprint(model)
        with pytest.raises(ValueError, match="parameters: expected at least one"):
            DIAGNOSTICS[name](model, torch.ones(1, 3))
        assert fingerprint(model) == before


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_what_is_no_model_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=r"model: expected an nn\.Module, got list"):
        DIAGNOSTICS[name]([], torch.ones(1, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["effective_sparsity", "trainability", "path_norm", "cost", "conservation"])
def test_an_input_is_needed(name: str) -> None:
    with pytest.raises(ValueError, match="example_inputs: expected the model's inputs, got None"):
        DIAGNOSTICS[name](nn.Linear(3, 2), None)


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_reports_are_plain_data(name: str) -> None:
    case = MODELS[0]
    found = DIAGNOSTICS[name](case.build(), case.inputs())
    assert copy.deepcopy(found) == found
    assert pickle.loads(pickle.dumps(found)) == found


def test_parameters_pruned_by_others_are_looked_at() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3))
    torch_prune.l1_unstructured(model[0], "weight", amount=7)
    torch_prune.random_unstructured(model[1], "bias", amount=1)
    found = diagnostics.compression(model).report
    assert [(layer.name, layer.kept, layer.total) for layer in found.layers] == [
        ("1.weight", 12, 12),
        ("0.weight", 13, 20),
        ("1.bias", 2, 3),
    ]
    assert diagnostics.neuron_collapse(model).neurons == 3 + 5 + 3
