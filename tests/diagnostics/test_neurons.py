"""Neuron collapse: numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import nn

from torch_synflow import ablations, diagnostics, prune
from torch_synflow.diagnostics.neurons import by_input, by_output


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
