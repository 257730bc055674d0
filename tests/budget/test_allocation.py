"""Any score within given layer densities: exact counts, and densities that cannot be met."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.faults.fingerprint import fingerprint
from tests.budget.nets import kept, net
from tests.cases import MODELS, MethodCase, prune_case
from tests.contract.runs import every_method
from tests.masks import distinct, masks_of
from torch_synflow import prune


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
            r"keep the 934 of 3736 weights that amount leaves, got densities that keep 1868; pass amount=1868, or "
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
        ValueError, match=r"at most 0\.101852, the part that earlier pruning has left, for 0\.weight, got 0\.5"
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
