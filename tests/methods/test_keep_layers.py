"""What ``keep_layers`` promises: each layer stays on a path, down to as many weights as there are layers."""

from __future__ import annotations

import copy
import warnings
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.methods.kept_layers import Forked, by_definition, chain
from torch_synflow import diagnostics, prune
from torch_synflow.budget.counts import kept_counts
from torch_synflow.flow.engine import layers, replay
from torch_synflow.methods.synflow import SynFlowUnstructured
from torch_synflow.schedules import exponential
from torch_synflow.selection import threshold


class Keeping(prune.SynFlow):  # type: ignore[misc]
    """What takes iterations back and divides them."""

    keep_layers: ClassVar[bool] = True


class KeepingBalanced(prune.BalancedSynFlow):  # type: ignore[misc]
    keep_layers: ClassVar[bool] = True


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    widths=st.lists(st.integers(1, 12), min_size=3, max_size=8),
    iterations=st.integers(1, 6),
    more=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_no_layer_of_a_chain_is_emptied(widths: list[int], iterations: int, more: int, seed: int) -> None:
    """Critical compression is max compression, however few the iterations."""
    model = chain(widths, seed)
    x = torch.ones(1, widths[0])
    total = sum(p.numel() for p in model.parameters())
    kept = min(len(widths) - 1 + more, total)
    report = prune.global_iterative_unstructured(model, Keeping, total - kept, example_inputs=x, iterations=iterations)
    assert report.kept == kept
    assert report.empty_layers == ()
    assert diagnostics.trainability(model, x).reached > 0


def test_algorithm_1_alone_empties_layers_in_few_iterations() -> None:
    """What the condition is for; left as it is where that is asked for."""
    model, x = chain([30, 60, 5, 40, 3], 0), torch.ones(1, 30)
    total = sum(p.numel() for p in model.parameters())
    once = copy.deepcopy(model)
    of_authors = prune.global_iterative_unstructured(once, prune.SynFlow, total - 4, example_inputs=x, iterations=3)
    assert of_authors.empty_layers
    report = prune.global_iterative_unstructured(model, Keeping, total - 4, example_inputs=x, iterations=3)
    assert [layer.kept for layer in report.layers] == [1, 1, 1, 1]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.branch = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.shortcut = nn.Conv2d(6, 6, 1, bias=False)
        self.last = nn.Linear(6, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.last((self.shortcut(x) + self.branch(x)).mean((2, 3)))


@pytest.mark.parametrize("method", [Keeping, KeepingBalanced])
@pytest.mark.parametrize("iterations", [1, 4, 100])
def test_branches_and_shortcuts_keep_a_weight_each_on_a_path(method: Any, iterations: int) -> None:
    torch.manual_seed(0)
    model, x = Residual(), torch.ones(1, 2, 5, 5)
    parameters = prune.prunable_parameters(model, example_inputs=x)
    total = sum(m.weight.numel() for m, _ in parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = prune.global_iterative_unstructured(parameters, method, total - 4, iterations=iterations)
    assert [layer.kept for layer in report.layers] == [1, 1, 1, 1]
    on_a_path = all(float(score.sum()) > 0 for score in prune.synflow_scores(model, x).values())
    assert on_a_path is not any("not every layer is on a path" in str(warning.message) for warning in caught)
    assert on_a_path or (method, iterations) != (KeepingBalanced, 100)


def test_algorithm_1_empties_a_branch_there() -> None:
    """So that the test above tests something."""
    torch.manual_seed(0)
    model, x = Residual(), torch.ones(1, 2, 5, 5)
    total = sum(m.weight.numel() for m, _ in prune.prunable_parameters(model))
    assert prune.global_iterative_unstructured(model, prune.SynFlow, total - 4, example_inputs=x).empty_layers


class Joined(nn.Module):
    """Two layers that one reads: with three weights one of the two is on no path."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, 4, bias=False), nn.Linear(5, 4, bias=False)
        self.last = nn.Linear(8, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([self.left(x), self.right(x)], 1))


def test_where_not_all_layers_can_be_on_paths_each_keeps_a_weight_and_a_warning_says_so() -> None:
    torch.manual_seed(0)
    model, x = Joined(), torch.ones(1, 5)
    report = prune.global_iterative_unstructured(model, Keeping, 64 - 4, example_inputs=x, iterations=10)
    assert [layer.kept for layer in report.layers] == [1, 1, 2]
    model = Joined()
    with pytest.warns(UserWarning, match="fewer than 4 weights left, not every layer is on a path"):
        report = prune.global_iterative_unstructured(model, Keeping, 64 - 3, example_inputs=x, iterations=10)
    assert [layer.kept for layer in report.layers] == [1, 1, 1]


def test_the_weights_that_layers_keep_then_need_not_meet() -> None:
    model, x = Forked(), torch.ones(1, 1)
    with pytest.warns(UserWarning, match="fewer than 14 weights left, not every layer is on a path"):
        report = prune.global_iterative_unstructured(model, Keeping, 14 - 7, example_inputs=x)
    assert [layer.kept for layer in report.layers] == [1] * 7
    assert diagnostics.trainability(model, x).reached == 0


@settings(deadline=None, max_examples=40, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    widths=st.lists(st.integers(2, 20), min_size=3, max_size=6),
    bias=st.booleans(),
    iterations=st.integers(1, 5),
    share=st.floats(0, 0.2),
    seed=st.integers(0, 1000),
)
def test_masks_are_those_of_the_definition(
    widths: list[int], bias: bool, iterations: int, share: float, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in parts, bracketed and in float32 first."""
    monkeypatch.setattr(layers, "PART", 50)
    monkeypatch.setattr(replay, "PART", 50)
    monkeypatch.setattr(threshold, "_SAMPLE", 16)
    model, x = chain(widths, seed, bias=bias), torch.ones(1, widths[0])
    total = sum(layer.weight.numel() for layer in model[::2])
    left = max(len(widths) - 1, round(share * total))
    expected = by_definition(model, x, kept_counts(exponential, iterations, total, left))
    prune.global_iterative_unstructured(model, Keeping, total - left, example_inputs=x, iterations=iterations)
    for layer, mask in zip(model[::2], expected, strict=True):
        assert torch.equal(layer.weight_mask.bool(), mask)


def count_scorings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    times = []
    original = SynFlowUnstructured.score_entries.__func__  # type: ignore[attr-defined]

    def counted(cls, entries, network):  # type: ignore[no-untyped-def]
        times.append(1)
        return original(cls, entries, network)

    monkeypatch.setattr(SynFlowUnstructured, "score_entries", classmethod(counted))
    return times


def test_where_steps_are_small_masks_are_those_of_algorithm_1(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = chain([30, 60, 20, 3], 0), torch.ones(1, 30)
    as_authors = copy.deepcopy(model)
    times = count_scorings(monkeypatch)
    prune.global_iterative_unstructured(model, Keeping, 0.95, example_inputs=x)
    assert len(times) == 101  # before the first iteration, and after each
    prune.global_iterative_unstructured(as_authors, prune.SynFlow, 0.95, example_inputs=x)
    for one, other in zip(model[::2], as_authors[::2], strict=True):
        assert torch.equal(one.weight_mask, other.weight_mask)


def test_an_iteration_scores_once_unless_it_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks are one an iteration all the same."""
    x, times, steps = torch.ones(1, 30), count_scorings(monkeypatch), []
    report = prune.global_iterative_unstructured(
        chain([30, 60, 5, 40, 3], 0), prune.SynFlow, 0.99, example_inputs=x, iterations=1
    )
    assert len(times) == 1
    assert report.empty_layers
    prune.global_iterative_unstructured(
        chain([30, 60, 5, 40, 3], 0), Keeping, 0.998, example_inputs=x, iterations=3,
        callback=lambda step, report: steps.append((step, report.kept)),
    )  # fmt: skip
    assert [step for step, _ in steps] == [1, 2, 3]
    assert len(times) > 4


def test_the_last_weight_of_a_layer_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = chain([1, 1, 20], 0, bias=True), torch.ones(1, 1)
    with torch.no_grad():
        model[0].weight.fill_(1e-6)  # the lowest score, since the flow comes from the bias behind it
        model[0].bias.fill_(1.0)
    times = count_scorings(monkeypatch)
    report = prune.global_iterative_unstructured(model, Keeping, 19, example_inputs=x, iterations=1)
    assert [layer.kept for layer in report.layers] == [1, 1]
    assert len(times) == 2


@pytest.mark.parametrize("left", [0, 1, 3])
def test_fewer_weights_than_layers_is_an_error_that_says_how_many_it_takes(left: int) -> None:
    model = chain([5, 7, 6, 5, 2], 1)
    total = sum(p.numel() for p in model.parameters())
    with pytest.raises(
        ValueError, match=f"amount: expected to leave at least 4 weights, one per layer, .* got {left};"
    ):
        prune.global_iterative_unstructured(model, Keeping, total - left, example_inputs=torch.ones(1, 5), iterations=5)
    assert not prune.is_pruned(model)


def test_where_no_path_is_left_nothing_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chain([10, 20, 10, 4], 0)
    prune.custom_from_mask(model[2], "weight", torch.zeros_like(model[2].weight))
    times = count_scorings(monkeypatch)
    report = prune.global_iterative_unstructured(model, Keeping, 200, example_inputs=torch.ones(1, 10), iterations=2)
    assert report.kept == 40
    assert len(times) == 3


def test_layer_densities_are_refused() -> None:
    model = chain([10, 20, 10, 4], 0)
    with pytest.raises(ValueError, match=r"layer_densities: expected none, because Keeping\.keep_layers is set"):
        prune.global_iterative_unstructured(
            model, Keeping, 0.5, example_inputs=torch.ones(1, 10), layer_densities=prune.erk
        )
    assert not prune.is_pruned(model)


def test_a_saliency_of_ones_own_keeps_layers_too() -> None:
    class Squared(Keeping):
        @classmethod
        def saliency(cls, network):  # type: ignore[no-untyped-def]
            return {name: score**2 for name, score in super().saliency(network).items()}

    model = chain([30, 60, 5, 40, 3], 0)
    total = sum(p.numel() for p in model.parameters())
    report = prune.global_iterative_unstructured(
        model, Squared, total - 4, example_inputs=torch.ones(1, 30), iterations=3
    )
    assert [layer.kept for layer in report.layers] == [1, 1, 1, 1]
