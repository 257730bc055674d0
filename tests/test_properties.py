"""Properties that hold for whatever networks, masks, amounts and schedules hypothesis thinks of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.cases import LargestUnstructured
from tests.masks import alive_in, dense, distinct, mask_of, masks_of, removed
from torch_synflow import prune
from torch_synflow.budget.counts import kept_counts
from torch_synflow.schedules import Schedule, exponential, linear
from torch_synflow.selection.survivors import keep_highest

few = settings(deadline=None, max_examples=150, derandomize=True)
many = settings(deadline=None, max_examples=300, derandomize=True)

SCHEDULES = [exponential, linear]
METHODS = [prune.SynFlow, prune.SNIP, prune.GraSP, torch_prune.L1Unstructured, torch_prune.RandomUnstructured]


@dataclass(frozen=True)
class Network:
    """How to build one random network, perhaps pruned already, as often as a test needs it."""

    widths: tuple[int, ...]
    convolutional: bool
    bias: bool
    seed: int
    densities: tuple[float, ...]

    @property
    def inputs(self) -> Tensor:
        shape = (6, self.widths[0], 4, 4) if self.convolutional else (6, self.widths[0])
        return torch.randn(shape, generator=torch.Generator().manual_seed(self.seed))

    @property
    def data(self) -> tuple[Tensor, Tensor]:
        return self.inputs, torch.arange(6) % self.widths[-1]

    def build(self, *, dense: bool = False) -> nn.Sequential:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            layers: list[nn.Module] = []
            for index, (width_in, width) in enumerate(pairwise(self.widths)):
                last = index == len(self.widths) - 2
                if self.convolutional and not last:
                    layers += [nn.Conv2d(width_in, width, 3, padding=1, bias=self.bias), nn.BatchNorm2d(width)]
                elif self.convolutional:
                    layers += [nn.Flatten(), nn.Linear(16 * width_in, width, bias=self.bias)]
                else:
                    layers.append(nn.Linear(width_in, width, bias=self.bias))
                if not last:
                    layers.append(nn.LeakyReLU(0.1))
            model = nn.Sequential(*layers)
            if not dense:
                for (module, name), density in zip(prune.prunable_parameters(model), self.densities, strict=False):
                    if density < 1:
                        mask = (torch.rand_like(getattr(module, name)) < density).float()
                        torch_prune.custom_from_mask(module, name, mask)
        return model

    def arguments(self, method: type[torch_prune.BasePruningMethod]) -> dict[str, Any]:
        if method is prune.SynFlow:
            return {"example_inputs": self.inputs}
        if issubclass(method, prune.SaliencyUnstructured):
            return {"data": self.data, "loss_fn": F.cross_entropy}
        return {}


networks = st.builds(
    Network,
    widths=st.lists(st.integers(2, 6), min_size=2, max_size=5).map(tuple),
    convolutional=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 10_000),
    densities=st.lists(st.sampled_from([1.0, 0.8, 0.3, 0.0]), min_size=4, max_size=4).map(tuple),
)
fractions = st.floats(0, 1, allow_nan=False)


def draw_amount(data: st.DataObject, alive: int) -> float:
    return data.draw(st.one_of(fractions, st.integers(0, alive)), label="amount")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
@few
@given(
    network=networks,
    iterations=st.integers(1, 7),
    schedule=st.sampled_from(SCHEDULES),
    data=st.data(),
)
def test_counts_follow_the_schedule_and_masks_only_shrink(
    method: type[torch_prune.BasePruningMethod],
    network: Network,
    iterations: int,
    schedule: Schedule,
    data: st.DataObject,
) -> None:
    model = network.build()
    alive, before = alive_in(model), masks_of(model)
    amount = draw_amount(data, alive)
    kept = alive - removed(amount, alive)
    reports: list[prune.PruningReport] = []
    final = prune.global_iterative_unstructured(
        prune.prunable_parameters(model),
        method,
        amount,
        iterations=iterations,
        schedule=schedule,
        callback=lambda step, report: reports.append(report),
        **network.arguments(method),
    )
    density = kept / alive if alive else 1.0
    aims = [round(schedule(step, iterations, density) * alive) for step in range(1, iterations + 1)]
    assert [report.kept for report in reports] == aims
    assert final.kept == alive_in(model) == kept == aims[-1]
    for earlier, later in pairwise(reports):
        assert all(b.kept <= a.kept for a, b in zip(earlier.layers, later.layers, strict=True))
    for old, new in zip(before, masks_of(model), strict=True):
        assert bool((new <= old).all())
        assert set(new.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    "method",
    [torch_prune.L1Unstructured, torch_prune.RandomUnstructured, LargestUnstructured],
    ids=lambda method: method.__name__,
)
@settings(few, max_examples=250)
@given(network=networks, data=st.data())
def test_one_iteration_of_an_unscored_method_is_torchs_global_unstructured(
    method: type[torch_prune.BasePruningMethod], network: Network, data: st.DataObject
) -> None:
    ours, theirs = network.build(), network.build()
    amount = draw_amount(data, alive_in(ours))
    torch.manual_seed(network.seed)
    prune.global_iterative_unstructured(prune.prunable_parameters(ours), method, amount, iterations=1)
    torch.manual_seed(network.seed)
    torch_prune.global_unstructured(prune.prunable_parameters(theirs), method, amount=amount)
    assert all(torch.equal(a, b) for a, b in zip(masks_of(ours), masks_of(theirs), strict=True))


@pytest.mark.parametrize("method", METHODS[:3], ids=lambda method: method.__name__)
@few
@given(network=networks, data=st.data())
def test_one_iteration_of_ours_is_torchs_global_unstructured_of_the_scores(
    method: type[prune.SaliencyUnstructured], network: Network, data: st.DataObject
) -> None:
    functions: dict[type, Callable[..., Any]] = {
        prune.SynFlow: lambda model: prune.synflow_scores(model, network.inputs),
        prune.SNIP: lambda model: prune.snip_scores(model, network.data, F.cross_entropy),
        prune.GraSP: lambda model: prune.grasp_scores(model, network.data, F.cross_entropy),
    }
    ours, theirs = network.build(), network.build()
    amount = draw_amount(data, alive_in(ours))
    parameters = prune.prunable_parameters(ours)
    prune.global_iterative_unstructured(parameters, method, amount, iterations=1, **network.arguments(method))
    scores = functions[method](theirs)
    torch_prune.global_unstructured(list(scores), method, importance_scores=scores, amount=amount)
    assert all(torch.equal(a, b) for a, b in zip(masks_of(ours), masks_of(theirs), strict=True))


@pytest.mark.parametrize("method", METHODS[:3], ids=lambda method: method.__name__)
@few
@given(network=networks)
def test_scores_are_zero_where_pruned_and_finite_everywhere(
    method: type[prune.SaliencyUnstructured], network: Network
) -> None:
    model = network.build()
    scores = method.scores(model, **network.arguments(method))
    assert list(scores) == distinct(model)
    for pair, score in scores.items():
        assert score.shape == dense(pair).shape
        assert bool(torch.isfinite(score).all())
        assert not bool(score[mask_of(pair) == 0].any())
        if method is not prune.GraSP:
            assert bool((score >= 0).all())


@few
@given(network=networks)
def test_synflow_is_the_same_in_every_layer_without_biases(network: Network) -> None:
    """Tanaka et al. 2020, theorem 2: the flow through each layer is the sum of the outputs."""
    network = Network(network.widths, False, False, network.seed, network.densities)
    model = network.build()
    scores = prune.synflow_scores(model, network.inputs)
    product = torch.ones(network.widths[0], dtype=torch.float64)
    for pair in distinct(model):
        product = (dense(pair) * mask_of(pair)).detach().double().abs() @ product
    for score in scores.values():
        torch.testing.assert_close(score.sum().item(), product.sum().item(), rtol=1e-9, atol=1e-12)


values = st.one_of(st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0]), st.floats(-(2.0**100), 2.0**100, width=32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@many
@given(scores=st.lists(values, max_size=40), share=fractions)
def test_keep_highest_is_a_stable_sort(dtype: torch.dtype, scores: list[float], share: float) -> None:
    keep = round(share * len(scores))
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    kept = keep_highest(torch.tensor(scores, dtype=dtype), keep)
    assert kept.dtype == torch.bool
    assert kept.nonzero().flatten().tolist() == sorted(order[:keep])


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.__name__)
@many
@given(total=st.integers(0, 10**9), share=fractions, steps=st.integers(1, 200))
def test_kept_counts_never_rise_and_end_exactly(schedule: Schedule, total: int, share: float, steps: int) -> None:
    kept = round(share * total)
    counts = kept_counts(schedule, steps, total, kept)
    assert len(counts) == steps
    assert all(isinstance(count, int) for count in counts)
    assert all(after <= before for before, after in pairwise([total, *counts]))
    assert counts[-1] == kept


@many
@given(total=st.integers(1, 10**6), share=fractions, steps=st.integers(1, 50))
def test_linear_counts_are_even(total: int, share: float, steps: int) -> None:
    """Against exact arithmetic: each count is the nearest whole number to an even removal."""
    kept = round(share * total)
    counts = kept_counts(linear, steps, total, kept)
    for step, count in enumerate(counts, start=1):
        exact = total - Fraction(total - kept) * step / steps
        assert abs(count - exact) <= Fraction(1, 2) + Fraction(1, 10**6)
