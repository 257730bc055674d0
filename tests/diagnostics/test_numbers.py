"""Neuron collapse, average scores of layers, FLOPs and passes: numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from tests.cases import MODELS, ModelCase
from tests.fingerprint import fingerprint
from tests.masks import distinct, mask_of
from torch_synflow import ablations, diagnostics, prune
from torch_synflow.diagnostics.neurons import by_input, by_output

# --- neurons ------------------------------------------------------------------------------------------------


def test_neurons_of_layers_of_each_kind() -> None:
    mask = torch.ones(4, 2, 3, 3)
    mask[1] = 0
    mask[2, 0] = 0
    convolution = nn.Conv2d(4, 4, 3, groups=2)
    torch_prune.custom_from_mask(convolution, "weight", mask)
    found = diagnostics.neuron_collapse(convolution)
    assert found.layers[0].densities == (1.0, 0.0, 0.5, 1.0)
    assert (found.collapsed, found.fraction) == (1, 0.25)
    assert [found.at_least(pruned) for pruned in (0.0, 0.5, 0.51, 1.0)] == [1.0, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(6, 4, bias=False),
        nn.Conv2d(6, 4, 3, bias=False),
        nn.Conv2d(6, 4, 3, groups=2, bias=False),
        nn.Conv1d(6, 6, 3, groups=6, bias=False),
        nn.ConvTranspose2d(6, 4, 3, bias=False),
        nn.ConvTranspose2d(6, 4, 3, groups=2, bias=False),
    ],
)
def test_rows_and_columns_are_what_reaches_an_output_and_reads_an_input(module: nn.Module) -> None:
    """By the gradient of one output channel, and of the output for one input channel."""
    shape = {2: (), 3: (4,), 4: (4, 4)}[module.weight.dim()]
    ids = torch.arange(1.0, module.weight.numel() + 1).reshape(module.weight.shape)
    rows, columns = by_output(module, ids), by_input(module, ids)
    outputs = module(torch.ones(1, 6, *shape))
    for channel in range(outputs.shape[1]):
        (gradient,) = torch.autograd.grad(outputs[:, channel].sum(), module.weight, retain_graph=True)
        assert sorted(ids[gradient != 0].tolist()) == sorted(rows[channel].tolist())
    for channel in range(6):
        x = torch.zeros(1, 6, *shape)
        x[:, channel] = 1
        (gradient,) = torch.autograd.grad(module(x).sum(), module.weight)
        assert sorted(ids[gradient != 0].tolist()) == sorted(columns[channel].tolist())


def test_synflow_collapses_neurons_and_shuffling_undoes_it() -> None:
    """Frankle et al. 2021, section 5, in small."""
    torch.manual_seed(0)

    def network() -> nn.Sequential:
        return nn.Sequential(nn.Linear(20, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))

    synflow, blind = network(), network()
    prune.global_iterative_unstructured(synflow, prune.SynFlow, 0.95, example_inputs=torch.ones(1, 20))
    prune.global_iterative_unstructured(blind, prune.RandomUnstructured, 0.95)
    collapsed = diagnostics.neuron_collapse(synflow).fraction
    ablations.shuffle_masks(synflow, generator=torch.Generator().manual_seed(0))
    assert collapsed > 2 * diagnostics.neuron_collapse(synflow).fraction
    assert collapsed > 2 * diagnostics.neuron_collapse(blind).fraction


# --- scores of layers ---------------------------------------------------------------------------------------


def test_average_scores_are_over_what_is_not_pruned() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    torch_prune.custom_from_mask(model[0], "weight", torch.tensor([[1, 0], [1, 1]]))
    scores = {(model[0], "weight"): torch.tensor([[1.0, 9.0], [2.0, 3.0]]), (model[1], "weight"): torch.zeros(1, 2)}
    found = diagnostics.layer_scores(model, scores)
    assert [(layer.name, layer.size, layer.total, layer.average) for layer in found.layers] == [
        ("0.weight", 3, 6.0, 2.0),
        ("1.weight", 2, 0.0, 0.0),
    ]
    with pytest.raises(ValueError, match=r"scores: expected shape \(2, 2\) for 0\.weight, got \(3,\)"):
        diagnostics.layer_scores(model, {(model[0], "weight"): torch.ones(3)})
    with pytest.raises(ValueError, match="parameters: expected at least one"):
        diagnostics.layer_scores(model, {})


def test_synflows_average_is_inverse_to_the_size_of_the_layer() -> None:
    """Tanaka et al. 2020, figure 4: exact for a saliency that is conserved."""
    layers = [nn.Linear(a, b, bias=False) for a, b in ((5, 30), (30, 20), (20, 4))]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    found = diagnostics.layer_scores(model, prune.synflow_scores(model, torch.ones(1, 5)))
    products = [layer.average * layer.size for layer in found.layers]
    assert max(products) == pytest.approx(min(products), rel=1e-12)


@pytest.mark.parametrize("values", [{"a": 1.0}, {"a": 0.0}])
def test_scores_draw(values: dict[str, float]) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    layers = tuple(diagnostics.LayerScore(name, 10, value) for name, value in values.items())
    assert diagnostics.LayerScores(layers).draw(ax) is ax
    figure.canvas.draw()
    pyplot.close(figure)


def test_shuffled_effects_draw() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    one = diagnostics.EffectiveSparsity((diagnostics.EffectiveLayer("a", 2, 3, 4),))
    diagnostics.ShuffledEffect(one, one).draw(ax)
    assert len(ax.patches) == 2
    pyplot.close(figure)


# --- cost ---------------------------------------------------------------------------------------------------


def test_flops_worked_out_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    torch_prune.custom_from_mask(model[0], "weight", torch.ones(8, 3, 3, 3).index_fill(0, torch.tensor([1, 2]), 0))
    found = diagnostics.cost(model, torch.rand(5, 3, 6, 6))
    convolution, linear = 2 * 36 * 8 * 27, 2 * 288 * 4
    assert [(layer.flops, layer.sparse_flops) for layer in found.layers] == [
        (convolution, 0.75 * convolution),
        (linear, linear),
    ]
    assert (found.flops, found.sparse_flops) == (convolution + linear, 0.75 * convolution + linear)
    assert (found.parameters, found.kept_parameters) == (216 + 8 + 1152 + 4, 162 + 8 + 1152 + 4)
    assert (found.other_parameters, found.other_flops) == (12, 0)


@pytest.mark.parametrize("case", [case for case in MODELS if not case.half], ids=lambda case: case.name)
def test_all_flops_are_those_of_torchs_counter(case: ModelCase) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = case.build().eval()
    inputs = case.inputs()
    found = diagnostics.cost(model, inputs)
    one = tuple(part[:1] for part in inputs) if isinstance(inputs, tuple) else (inputs[:1],)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*one)
    assert found.flops == counter.get_total_flops()
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    kept = sum(int(mask_of(pair).sum()) for pair in distinct(model))
    assert sum(layer.kept for layer in found.layers) == kept
    assert found.sparse_flops <= found.flops


def test_a_module_that_is_called_twice_costs_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(self.a(x))

    assert diagnostics.cost(Twice(), torch.rand(1, 4)).flops == 2 * 2 * 16


def test_what_is_no_layer_is_counted_as_other() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return x.transpose(0, 1) @ x

    assert diagnostics.cost(Product(), torch.rand(1, 4)).other_flops == 2 * 16


def test_passes_of_the_papers() -> None:
    """Tanaka et al. 2020, section 6: 100 for SynFlow; 1,000, 2,000 and 10,000 for SNIP and GraSP."""
    assert diagnostics.passes(prune.SynFlow) == 100
    for classes in (100, 200, 1000):
        for method in (prune.SNIP, prune.GraSP):
            assert diagnostics.passes(method, examples=10 * classes) == 10 * classes
    assert diagnostics.passes(prune.SNIP, examples=1000, iterations=100) == 100_000  # the rebuttal
    assert diagnostics.passes(prune.L1Unstructured) == diagnostics.passes(prune.RandomUnstructured) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pruning_method": prune.SNIP}, ValueError, "examples: SNIPUnstructured reads data"),
        ({"pruning_method": prune.SNIP, "examples": 0}, ValueError, "examples: expected at least 1, got 0"),
        ({"pruning_method": prune.SynFlow, "iterations": 0}, ValueError, "iterations: expected at least 1, got 0"),
        ({"pruning_method": "SNIP"}, TypeError, "pruning_method: expected a BasePruningMethod class, got 'SNIP'"),
    ],
)
def test_passes_name_wrong_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        diagnostics.passes(**arguments)


def test_cost_leaves_no_hook() -> None:
    model = nn.Linear(4, 2)
    before = fingerprint(model)
    with pytest.raises(RuntimeError):
        diagnostics.cost(model, torch.zeros(1, 5))
    assert fingerprint(model) == before
    assert F.linear(torch.ones(1, 4), model.weight).shape == (1, 2)
