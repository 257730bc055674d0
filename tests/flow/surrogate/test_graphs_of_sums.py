"""Random graphs of layers and sums, against their definition, and the theorems on them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.flow.surrogate.graphs import INPUT, Graph, Step, graphs
from tests.flow.surrogate.sums import plain_scores
from torch_synflow import diagnostics, prune

pytestmark = pytest.mark.filterwarnings("ignore:SynFlow. on no path:UserWarning")
many = settings(deadline=None, max_examples=100, derandomize=True)


@many
@given(steps=graphs(), seed=st.integers(0, 1000))
def test_graphs_of_sums(steps: list[Step], seed: int) -> None:
    model = Graph.positive(steps, seed)
    found = prune.BalancedSynFlow.scores(model, example_inputs=INPUT)
    model.forward = model.written_out
    for (layer, _), score in zip(prune.prunable_parameters(model), plain_scores(model, INPUT), strict=True):
        torch.testing.assert_close(found[layer, "weight"].as_subclass(Tensor), score, rtol=1e-11, atol=1e-300)


@many
@given(steps=graphs(), seed=st.integers(0, 1000))
def test_scores_are_conserved_at_every_neuron_and_over_every_cut(steps: list[Step], seed: int) -> None:
    """Theorems 1 and 2 with the constants held; the scores are those of the test above."""
    model = Graph.positive(steps, seed)
    scores = prune.BalancedSynFlow.scores(model, example_inputs=INPUT)
    totals = {
        name: float(scores[layer, "weight"].sum())
        for name, layer in model.named_modules()
        if (layer, "weight") in scores
    }
    model.forward = model.written_out
    found = diagnostics.conservation(model, INPUT, lambda outputs: outputs.sum())
    assert found.error < 1e-12
    for cut in model.cuts():
        assert found.cut(cut).error < 1e-12
        assert sum(totals[name] for name in cut) == pytest.approx(found.output, rel=1e-11)
