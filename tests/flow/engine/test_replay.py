"""The record is run instead of the model, unless it gives another R, and knows whether its scores are sound."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.flow.engine.recorded import Body, ByMatmulToo, X, by_definition, network_of
from torch_synflow import prune
from torch_synflow.flow.passes import record
from torch_synflow.selection import threshold
from torch_synflow.selection.quotas import Together
from torch_synflow.selection.survivors import Survivors


class Remembers(Body):
    """The second half of what it computes is what the pass before has left."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def between(self, x: Tensor) -> Tensor:
        self.passes += 1
        return x


def test_the_model_runs_once_for_all_iterations_and_once_for_the_paths_that_are_left() -> None:
    model = Remembers()
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=X, iterations=50)
    assert model.passes == 0  # as it was
    calls: list[int] = []
    model = Body()
    model.second.register_forward_hook(lambda *_: calls.append(1))
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=X, iterations=50)
    assert len(calls) == 2


def test_what_flows_through_layers_and_elsewhere_is_known_to_be_sound() -> None:
    """Where a gradient is negative the scores themselves are looked at."""

    class Falling(ByMatmulToo):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cos(1e-3 * super().forward(x))

    for model in (Body(), ByMatmulToo()):
        entries, network = network_of(model)
        prune.SynFlow.score_entries(entries, network)
        assert network.sound

    class FallingElsewhere(Body):
        def __init__(self) -> None:
            super().__init__()
            self.beside = nn.Linear(self.first.out_features, self.first.out_features, bias=False)

        def between(self, x: Tensor) -> Tensor:
            return x + torch.cos(1e-6 * (x @ self.beside.weight))

    for falling in (Falling(), FallingElsewhere()):
        entries, network = network_of(falling)
        with pytest.raises(ValueError, match=r"got negative ones.*'cos'"):
            prune.SynFlow.score_entries(entries, network)
        assert not network.sound


def test_a_negative_flow_is_not_sound() -> None:
    entries, network = network_of(Body())
    prune.SynFlow.score_entries(entries, network)
    assert network.sound
    network.weights["second.weight"].neg_()  # so the gradient at the first is negative
    network.scores(network.mode)
    assert not network.sound


def test_a_recorded_pass_with_another_r_than_the_model_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: Any) -> Any:
        tape, result, used = record(*arguments)
        return tape, 1.01 * result, used

    monkeypatch.setattr("torch_synflow.flow.positive.record", wrong)
    calls: list[int] = []
    torch.manual_seed(0)
    model = Body()
    model.second.register_forward_hook(lambda *_: calls.append(1))
    scores = prune.synflow_scores(model, X)
    assert len(calls) == 2
    for score, expected in zip(scores.values(), by_definition(model), strict=True):
        torch.testing.assert_close(score.as_subclass(Tensor), expected, rtol=1e-12, atol=0)


@pytest.mark.filterwarnings("ignore:SynFlow. all zero")
def test_a_wrong_bracket_is_found_out_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a bad guess of the threshold, selection returns the masks, and writes no weight."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 4))
    nn.init.zeros_(model[4].weight)  # read as ones
    entries, network = network_of(model)
    survivors = Survivors([entry.mask for entry in entries])
    scores = prune.SynFlow.score_entries(entries, network)
    whole = torch.cat([scores.whole(number) for number in range(3)])
    expected = torch.zeros(len(whole), dtype=torch.bool).index_fill(0, whole.topk(700).indices, True)
    before = {name: weight.clone() for name, weight in network.weights.items()}
    for low, high in ((float(whole.max()), 1e300), (0.0, float(whole.min()))):
        monkeypatch.setattr(threshold, "_bracket", lambda *_, low=low, high=high: (low, high))
        survivors = Survivors([entry.mask for entry in entries])
        survivors.keep_highest(prune.SynFlow.score_entries(entries, network), Together(700))
        assert torch.equal(torch.cat([mask.view(-1) for mask in survivors.masks]), expected)
        assert all(torch.equal(network.weights[name], weight) for name, weight in before.items())
    network.apply_masks(survivors)
    for (name, weight), mask in zip(before.items(), survivors.masks, strict=True):
        assert torch.equal(network.weights[name], weight * mask)
