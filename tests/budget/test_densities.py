"""Layer densities: the published formulas, layers that are kept whole, exact totals, any score within them."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.cases import METHODS, MODELS, MethodCase, prune_case
from tests.fingerprint import fingerprint
from tests.masks import distinct, masks_of
from torch_synflow import prune

every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, (3, 5), groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
    )


def kept(model: nn.Module) -> list[int]:
    return [int(mask.sum()) for mask in masks_of(model)]


# --- rules --------------------------------------------------------------------------------------------------


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


# --- any score within them ----------------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("name", ["mlp", "residual", "tied_layers", "pruned_by_torch"])
def test_every_method_keeps_the_given_counts(method: MethodCase, name: str) -> None:
    (case,) = [case for case in MODELS if case.name == name]
    model = case.build()
    left = kept(model)
    total = sum(mask.numel() for mask in masks_of(model))
    wanted = prune.erk(model, (sum(left) - round(0.6 * sum(left))) / total)
    report = prune_case(method, case, model, 0.6, layer_densities=prune.erk)
    assert report.kept == sum(left) - round(0.6 * sum(left))
    for layer in report.layers:
        assert abs(layer.kept - wanted[layer.name] * layer.total) < 1
    assert [layer.kept for layer in report.layers] == kept(model)


@every_method
def test_the_highest_scores_of_each_layer_are_kept(method: MethodCase) -> None:
    """As torch's own local pruning, layer by layer."""
    (case,) = [case for case in MODELS if case.name == "mlp_in_float64"]
    model, alone = case.build(), case.build()
    torch.manual_seed(3)
    prune_case(method, case, model, 38, layer_densities={"0.weight": 20 / 40, "2.weight": 6 / 24}, iterations=1)
    if method.scored:
        scores = method.method.scores(alone, **method.arguments(case))  # type: ignore[attr-defined]
        for pair, amount in zip(distinct(alone), (20, 18), strict=True):
            method.method.apply(*pair, amount=amount, importance_scores=scores[pair])
    else:
        torch.manual_seed(3)
        for pair, amount in zip(distinct(alone), (20, 18), strict=True):
            method.method.apply(*pair, amount=amount)
    assert all(torch.equal(a, b) for a, b in zip(masks_of(model), masks_of(alone), strict=True))


def test_densities_of_another_method_are_met_exactly() -> None:
    dense = net()
    ours, random = copy.deepcopy(dense), copy.deepcopy(dense)
    report = prune.global_iterative_unstructured(ours, prune.SynFlow, 0.9, example_inputs=torch.ones(1, 3, 8, 10))
    assert prune.layer_densities(ours) == report.densities
    again = prune.global_iterative_unstructured(
        random, prune.RandomUnstructured, 0.9, layer_densities=prune.layer_densities(ours)
    )
    assert again == report
    assert not torch.equal(masks_of(ours)[2], masks_of(random)[2])
    # and at another amount, in proportion
    third = copy.deepcopy(dense)
    prune.global_iterative_unstructured(
        third, prune.L1Unstructured, 0.8, layer_densities=prune.proportional(report.densities)
    )
    assert sum(kept(third)) == report.total - round(0.8 * report.total)
    assert all(more >= fewer for more, fewer in zip(kept(third), kept(ours), strict=True))


def test_each_layer_follows_the_schedule() -> None:
    (case,) = [case for case in MODELS if case.name == "mlp"]
    seen: list[list[int]] = []
    prune.global_iterative_unstructured(
        case.build(),
        prune.SNIP,
        64 - 15,
        data=case.batch(),
        loss_fn=case.loss_fn,
        iterations=2,
        layer_densities={"0.weight": 10 / 40, "2.weight": 5 / 24},
        callback=lambda step, report: seen.append([layer.kept for layer in report.layers]),
    )
    assert seen == [[20, round(24 * math.sqrt(5 / 24))], [10, 5]]


def test_largest_remainders_and_ties_to_the_first_layer() -> None:
    model = nn.ModuleList([nn.Linear(3, 1, bias=False) for _ in range(4)])
    report = prune.global_iterative_unstructured(model, prune.L1Unstructured, 6, layer_densities=prune.uniform)
    assert [layer.kept for layer in report.layers] == [2, 2, 1, 1]


def test_layers_of_density_zero_and_one() -> None:
    model = net()
    densities = {"0.weight": 1.0, "2.weight": 0.0, "5.weight": 0.5}
    report = prune.global_iterative_unstructured(
        model, prune.L1Unstructured, 960 + 1280, layer_densities=densities, iterations=3
    )
    assert [layer.kept for layer in report.layers] == [216, 0, 1280]
    assert report.empty_layers == ("2.weight",)


def test_a_rule_is_a_function_of_the_parameters_and_the_density() -> None:
    model = net()
    asked: list[float] = []

    def rule(parameters: Any, density: float) -> dict[Any, float]:
        asked.append(density)
        return {**prune.uniform(parameters, density), "2.weight": 0.25 + 1 / 960, "5.weight": 0.25 - 1 / 2560}

    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.75, layer_densities=rule)
    assert asked == [934 / 3736]
    assert kept(model) == [54, 241, 639]


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("densities", "error", "message"),
    [
        (0.1, TypeError, "layer_densities: expected densities by layer name .* got float"),
        ([("0.weight", 0.1)], TypeError, "layer_densities: expected densities by layer name .* got list"),
        (lambda parameters, density: 0.5, TypeError, "layer_densities: expected densities .* got float"),
        ({"0.weight": 0.5}, ValueError, r"expected a density for each layer .* none for 2\.weight and 1 more"),
        ({"conv1": 0.5}, ValueError, r"the layers that are pruned \(0\.weight, 2\.weight, 5\.weight\), got 'conv1'"),
        ({"0.weight": "0.5"}, TypeError, r"expected a number for 0\.weight, got '0\.5'"),
        ({"0.weight": True}, TypeError, r"expected a number for 0\.weight, got True"),
        ({"0.weight": torch.tensor(0.5)}, TypeError, r"expected a number for 0\.weight, got tensor"),
        ({"0.weight": -0.5}, ValueError, r"expected a number of at least 0 for 0\.weight, got -0\.5"),
        ({"0.weight": math.nan}, ValueError, r"expected a number of at least 0 for 0\.weight, got nan"),
        (
            {"0.weight": 1.5, "2.weight": 0.1, "5.weight": 0.1},
            ValueError,
            r"expected a density of at most 1, for 0\.weight, got 1\.5",
        ),
        (
            {"0.weight": 0.5, "2.weight": 0.5, "5.weight": 0.5},
            ValueError,
            r"keep the 934 of 3736 entries that amount leaves, got ones that keep 1868; pass amount=1868, or "
            r"prune\.proportional",
        ),
        (
            prune.proportional({"0.weight": 1.0, "2.weight": 0.0, "5.weight": 0.0}),
            ValueError,
            r"density: expected at most 0\.0578\d*, what is left of the layers that have a density above 0, got 0\.25",
        ),
        (prune.proportional({"0.weight": 1.0}), ValueError, r"densities: expected a density for each layer"),
    ],
)  # fmt: skip
def test_layer_densities_that_can_not_be_met(densities: Any, error: type[Exception], message: str) -> None:
    model = net()
    before = fingerprint(model)
    with pytest.raises(error, match=message):
        prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.75, layer_densities=densities)
    assert fingerprint(model) == before


def test_more_than_an_earlier_pruning_has_left() -> None:
    model = net()
    prune.l1_unstructured(model[0], "weight", 0.9)
    before = fingerprint(model)
    densities = {"0.weight": 0.5, "2.weight": 0.1, "5.weight": 0.1}
    with pytest.raises(
        ValueError, match=r"at most 0\.101852, what earlier prunings have left, for 0\.weight, got 0\.5"
    ):
        prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.75, layer_densities=densities)
    assert fingerprint(model) == before
    with pytest.raises(ValueError, match=r"density: expected at most 0\.94\d*, what is left"):
        prune.erk(model, 0.99)


def test_two_densities_for_one_tensor() -> None:
    (case,) = [case for case in MODELS if case.name == "tied_layers"]
    model: Any = case.build()
    densities = {(model.first, "weight"): 0.5, (model.second, "weight"): 0.25, "embed.weight": 0.5, "head.weight": 0.5}
    with pytest.raises(ValueError, match=r"expected one density for first\.weight, .* got 0\.5 and 0\.25"):
        prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5, layer_densities=densities)


@pytest.mark.parametrize("density", [-0.1, 1.1, math.nan, "0.5", None, True])
@pytest.mark.parametrize("rule", [prune.uniform, prune.er, prune.erk, prune.proportional({"weight": 1.0})])
def test_densities_of_the_whole_that_are_none(rule: Any, density: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="density: expected a number between 0 and 1"):
        rule(nn.Linear(2, 2), density)


def test_a_tensor_score_of_ones_own_within_densities() -> None:
    """A class as torch's tutorial has it, which knows nothing of layers, ranks each by itself."""

    class Smallest(prune.L1Unstructured):
        def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
            return super().compute_mask(1 / t.abs(), default_mask)

    model = net()
    prune.global_iterative_unstructured(model, Smallest, 0.5, layer_densities=prune.uniform)
    for module, _ in prune.prunable_parameters(model):
        weight, mask = module.weight_orig.detach().abs(), module.weight_mask > 0
        assert int(mask.sum()) == mask.numel() // 2
        assert weight[mask].max() <= weight[~mask].min()
    assert torch.isfinite(F.relu(model(torch.ones(1, 3, 8, 10)))).all()
