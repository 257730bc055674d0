"""Rules for layer densities: the published formulas, layers that are kept whole, exact totals."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.budget.nets import kept, net
from torch_synflow import prune


def published(shapes: list[tuple[int, ...]], density: float, *, kernel: bool) -> list[float]:
    """Evci et al. 2020, section 3, as its text has it: a sparsity of 1 - ratio, scaled; dense where that is below 0.

    ``ratio`` is (n_in + n_out + w + h) / (n_in * n_out * w * h), without w and h for ER.
    """
    sizes = [math.prod(shape) for shape in shapes]
    ratios = [sum(s) / math.prod(s) for s in (shape if kernel else shape[:2] for shape in shapes)]
    dense: set[int] = set()
    while True:
        rest = [i for i in range(len(shapes)) if i not in dense]
        budget = density * sum(sizes) - sum(sizes[i] for i in dense)
        scale = budget / sum(ratios[i] * sizes[i] for i in rest)
        largest = max(rest, key=lambda i: ratios[i])
        if scale * ratios[largest] <= 1:
            return [1.0 if i in dense else scale * ratios[i] for i in range(len(shapes))]
        dense.add(largest)


@pytest.mark.parametrize("density", [0.01, 0.1, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(("rule", "kernel"), [(prune.er, False), (prune.erk, True)])
def test_er_and_erk_are_the_published_formulas(rule: Any, kernel: bool, density: float) -> None:
    model = net()
    shapes = [(8, 3, 3, 3), (16, 4, 3, 5), (10, 256)]
    densities = rule(model, density)
    assert list(densities) == ["0.weight", "2.weight", "5.weight"]
    assert list(densities.values()) == pytest.approx(published(shapes, density, kernel=kernel), rel=1e-12)
    if density == 0.95:
        assert max(densities.values()) == 1.0  # a layer is capped, and the total is right all the same
    total = sum(d * math.prod(shape) for d, shape in zip(densities.values(), shapes, strict=True))
    assert total == pytest.approx(density * sum(math.prod(shape) for shape in shapes), rel=1e-12)


def test_erk_by_hand() -> None:
    model = nn.Sequential(nn.Linear(100, 50), nn.Linear(50, 10))
    # ratios 150 / 5000 and 60 / 500: parts 150 and 60 of the 550 entries; the second would get 157 of its 500
    assert prune.erk(model, 0.1) == pytest.approx(
        {"0.weight": 550 * 150 / 210 / 5000, "1.weight": 550 * 60 / 210 / 500}
    )
    # at density 1/2 its 785.7 exceed 500, so that the first has the other 2250
    assert prune.erk(model, 0.5) == pytest.approx({"0.weight": 0.45, "1.weight": 1.0})
    assert prune.er(model, 0.5) == prune.erk(model, 0.5)


@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=6),
    st.floats(0, 1),
    st.floats(0, 0.7),
    st.sampled_from([prune.uniform, prune.er, prune.erk, prune.proportional]),
)
@settings(max_examples=80, deadline=None)
def test_rules_never_exceed_what_is_left_and_always_meet_the_total(
    shapes: list[tuple[int, int]], amount: float, earlier: float, rule: Any
) -> None:
    model = nn.ModuleList(nn.Linear(a, b) for a, b in shapes)
    if earlier:
        prune.global_unstructured(prune.prunable_parameters(model), prune.RandomUnstructured, amount=earlier)
    left = kept(model)
    if rule is prune.proportional:
        rule = prune.proportional({f"{i}.weight": 1.0 + i for i in range(len(shapes))})
    total = sum(a * b for a, b in shapes)
    keep = sum(left) - round(amount * sum(left))
    densities = rule(model, keep / total)
    sizes = [a * b for a, b in shapes]
    assert all(0 <= d <= k / n + 1e-12 for d, k, n in zip(densities.values(), left, sizes, strict=True))
    assert sum(d * n for d, n in zip(densities.values(), sizes, strict=True)) == pytest.approx(keep, abs=1e-6)
    report = prune.global_iterative_unstructured(model, prune.L1Unstructured, amount, layer_densities=rule)
    assert report.kept == keep
    assert all(k <= before for k, before in zip(kept(model), left, strict=True))
    wanted = [d * n for d, n in zip(densities.values(), sizes, strict=True)]
    assert all(abs(k - w) < 1 + 1e-6 for k, w in zip(kept(model), wanted, strict=True))  # largest remainders


def test_proportional_scales_and_shares_out_what_a_full_layer_leaves() -> None:
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10), nn.Linear(10, 10))
    rule = prune.proportional({"0.weight": 0.6, "1.weight": 0.2, "2.weight": 0.1})
    assert rule(model, 0.3) == pytest.approx({"0.weight": 0.6, "1.weight": 0.2, "2.weight": 0.1})
    assert rule(model, 0.6) == pytest.approx(
        {"0.weight": 1.0, "1.weight": 0.8 / 0.3 * 0.2, "2.weight": 0.8 / 0.3 * 0.1}
    )
    assert rule(model, 1.0) == pytest.approx({"0.weight": 1.0, "1.weight": 1.0, "2.weight": 1.0})


def test_densities_are_by_pair_where_no_model_is_known() -> None:
    model = net()
    pairs = [(model[0], "weight"), (model[5], "weight")]
    densities = prune.uniform(pairs, 0.25)
    assert densities == {pairs[0]: 0.25, pairs[1]: 0.25}
    report = prune.global_iterative_unstructured(
        pairs, prune.L1Unstructured, 0.75, model=model, layer_densities=densities
    )
    assert list(report.densities) == ["0.weight", "5.weight"]
    assert prune.layer_densities(pairs) == {pairs[0]: 54 / 216, pairs[1]: 640 / 2560}


def test_largest_remainders_and_ties_to_the_first_layer() -> None:
    model = nn.ModuleList([nn.Linear(3, 1, bias=False) for _ in range(4)])
    report = prune.global_iterative_unstructured(model, prune.L1Unstructured, 6, layer_densities=prune.uniform)
    assert [layer.kept for layer in report.layers] == [2, 2, 1, 1]


@pytest.mark.parametrize("density", [-0.1, 1.1, math.nan, "0.5", None, True])
@pytest.mark.parametrize("rule", [prune.uniform, prune.er, prune.erk, prune.proportional({"weight": 1.0})])
def test_densities_of_the_whole_that_are_none(rule: Any, density: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="density: expected a number between 0 and 1"):
        rule(nn.Linear(2, 2), density)
