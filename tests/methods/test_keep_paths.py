"""Theorem 3: as long as less than R is removed at once a path from input to output is left, down to max compression."""

from __future__ import annotations

import copy
import itertools
from typing import ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from torch_synflow import diagnostics, prune
from torch_synflow.budget.counts import kept_counts
from torch_synflow.flow.engine import layers, replay
from torch_synflow.methods.synflow import SynFlowUnstructured
from torch_synflow.schedules import exponential
from torch_synflow.selection import threshold


class KeepingPaths(prune.SynFlow):  # type: ignore[misc]
    """What divides iterations."""

    keep_paths: ClassVar[bool] = True


def chain(widths: list[int], seed: int, *, bias: bool = False) -> nn.Sequential:
    torch.manual_seed(seed)
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        modules += [nn.Linear(before, after, bias=bias), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


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
    report = prune.global_iterative_unstructured(
        model, KeepingPaths, total - kept, example_inputs=x, iterations=iterations
    )
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
    report = prune.global_iterative_unstructured(model, KeepingPaths, total - 4, example_inputs=x, iterations=3)
    assert [layer.kept for layer in report.layers] == [1, 1, 1, 1]


def test_with_a_shortcut_a_path_is_left() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(2, 6, 3, padding=1, bias=False)
            self.branch = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
            self.last = nn.Linear(6, 4, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.last((x + self.branch(x)).mean((2, 3)))

    torch.manual_seed(0)
    model, x = Residual(), torch.ones(1, 2, 5, 5)
    total = sum(m.weight.numel() for m, _ in prune.prunable_parameters(model))
    prune.global_iterative_unstructured(model, KeepingPaths, total - 3, example_inputs=x, iterations=4)
    assert diagnostics.trainability(model, x).reached > 0


def by_definition(model: nn.Sequential, x: torch.Tensor, keeps: list[int]) -> list[torch.Tensor]:
    """Masks of a dense float64 network, by sorting; what goes is divided so that each time it is less than R."""
    linear = list(model[::2])
    weights = [layer.weight.detach().double().abs() for layer in linear]
    kept = torch.ones(sum(weight.numel() for weight in weights), dtype=torch.bool)
    for keep in keeps:
        while (alive := int(kept.sum())) > keep:
            masks = [m.view_as(w) for m, w in zip(kept.split([w.numel() for w in weights]), weights, strict=True)]
            living = [(w * mask).requires_grad_() for w, mask in zip(weights, masks, strict=True)]
            flow = x.double()
            for weight, layer in zip(living, linear, strict=True):
                bias = 0 if layer.bias is None else layer.bias.detach().double().abs()
                flow = flow @ weight.T + bias
            result = flow.sum()
            gradients = torch.autograd.grad(result, living)
            scores = torch.cat([(g * w).detach().reshape(-1) for g, w in zip(gradients, living, strict=True)])
            places = kept.nonzero().squeeze(1)
            order = scores[places].sort(descending=True, stable=True).indices
            affordable = int((scores[places].sort().values.cumsum(0) < float(result.detach()) * (1 - 1e-6)).sum())
            goes = min(alive - keep, max(1, affordable)) if result > 0 else alive - keep
            kept[places[order[alive - goes :]]] = False
    return [m.view_as(w) for m, w in zip(kept.split([w.numel() for w in weights]), weights, strict=True)]


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
    prune.global_iterative_unstructured(model, KeepingPaths, total - left, example_inputs=x, iterations=iterations)
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
    prune.global_iterative_unstructured(model, KeepingPaths, 0.95, example_inputs=x)
    assert len(times) == 100
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
        chain([30, 60, 5, 40, 3], 0), KeepingPaths, 0.998, example_inputs=x, iterations=3,
        callback=lambda step, report: steps.append((step, report.kept)),
    )  # fmt: skip
    assert [step for step, _ in steps] == [1, 2, 3]
    assert len(times) > 4


def test_more_can_be_pruned_than_leaves_a_path() -> None:
    """Also all: R is zero from some point on, and nothing is left to protect."""
    for left in (0, 1, 3):
        model = chain([5, 7, 6, 5, 2], 1)
        total = sum(p.numel() for p in model.parameters())
        report = prune.global_iterative_unstructured(
            model, KeepingPaths, total - left, example_inputs=torch.ones(1, 5), iterations=5
        )
        assert report.kept == left


def test_where_no_path_is_left_an_iteration_scores_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chain([10, 20, 10, 4], 0)
    prune.custom_from_mask(model[2], "weight", torch.zeros_like(model[2].weight))
    times = count_scorings(monkeypatch)
    report = prune.global_iterative_unstructured(
        model, KeepingPaths, 200, example_inputs=torch.ones(1, 10), iterations=2
    )
    assert report.kept == 40
    assert len(times) == 2


def test_layer_densities_are_kept_to_whatever_that_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = count_scorings(monkeypatch)
    model = chain([10, 20, 10, 4], 0)
    parameters = prune.prunable_parameters(model)
    densities = {"0.weight": 0.5, "2.weight": 0.0, "4.weight": 0.5}
    report = prune.global_iterative_unstructured(
        parameters, KeepingPaths, 440 - 120, example_inputs=torch.ones(1, 10), iterations=3,
        layer_densities=densities,
    )  # fmt: skip
    assert [layer.kept for layer in report.layers] == [100, 0, 20]
    assert len(times) == 3
