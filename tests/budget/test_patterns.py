"""At most n of every m neighbours: the best by any score, and what cannot be kept so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.fingerprint import fingerprint
from tests.cases import METHODS, MODELS, MethodCase
from tests.masks import mask_of, masks_of
from tests.selection.groups import best
from torch_synflow import prune

X = torch.ones(1, 8)
RANKING = [m for m in METHODS if m.scored or m.method in (prune.L1Unstructured, prune.RandomUnstructured)]


def mlp(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 4))


def conv() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 2), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2, padding=1), nn.ReLU())


def groups_of(mask: Tensor, m: int) -> list[int]:
    return (mask != 0).reshape(-1, m).sum(1).tolist()


@pytest.mark.parametrize("method", RANKING, ids=lambda method: method.name)
@pytest.mark.parametrize("iterations", [1, 3])
def test_every_method_keeps_two_of_four(method: MethodCase, iterations: int) -> None:
    (case,) = [case for case in MODELS if case.name == "mlp_in_float64"]
    model = case.build()
    pair = model[2], "weight"
    scores = None
    if method.scored:
        scores = method.method.scores(model, [pair], **method.arguments(case))[pair]  # type: ignore[attr-defined]
    report = prune.global_iterative_unstructured(
        prune.PrunableParameters([pair], model), method.method, 0.5, iterations=iterations,
        pattern=prune.n_of_m(2, 4), **method.arguments(case),
    )  # fmt: skip
    mask = mask_of(pair)
    assert (report.kept, report.total) == (12, 24)
    assert set(groups_of(mask, 4)) == {2}
    if scores is not None and iterations == 1:
        assert (mask != 0).flatten().tolist() == best(scores.flatten().tolist(), [True] * 24, 2, 4)


def test_magnitudes_are_those_of_what_earlier_prunings_left() -> None:
    model = nn.Linear(4, 2, bias=False)
    model.weight.data = torch.tensor([[4.0, -3.0, 2.0, 1.0], [1.0, 1.0, -1.0, 1.0]])
    prune.custom_from_mask(model, "weight", torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]]))
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 3, pattern=prune.n_of_m(2, 4))
    assert model.weight_mask.tolist() == [[0, 1, 1, 0], [1, 1, 0, 0]]


def test_random_pruning_keeps_another_pair_each_time() -> None:
    masks = []
    for seed in (0, 0, 1):
        model = mlp()
        torch.manual_seed(seed)
        prune.global_iterative_unstructured(model, prune.RandomUnstructured, 0.5, pattern=prune.n_of_m(2, 4))
        masks.append(masks_of(model)[0])
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_a_group_with_fewer_left_keeps_what_it_has() -> None:
    model = mlp()
    mask = torch.ones(12, 8)
    mask[:, :3] = 0  # one, and four, are left
    mask[0] = 0
    prune.custom_from_mask(model[0], "weight", mask)
    alive, kept = 11 * 5 + 48, 11 * 3 + 24
    report = prune.global_iterative_unstructured(
        model, prune.SynFlow, alive - kept, example_inputs=X, pattern=prune.n_of_m(2, 4), iterations=5
    )
    assert report.kept == kept
    assert groups_of(model[0].weight_mask, 4) == [0, 0] + [1, 2] * 11
    assert not bool((model[0].weight_mask > mask).any())


def test_rows_of_a_convolution_are_flattened_as_a_matrix_product_has_them() -> None:
    """Groups cross kernels and channels, but not rows: what ``F.unfold`` multiplies is ``weight.flatten(1)``."""
    model = conv()
    x = torch.ones(1, 2, 6, 6)
    prune.global_iterative_unstructured(
        [(model[2], "weight")], prune.SynFlow, 1 / 3, model=model, example_inputs=x, pattern=prune.n_of_m(4, 6)
    )
    assert set(groups_of(model[2].weight_mask.flatten(1), 6)) == {4}
    small = nn.Conv2d(4, 6, 3)
    prune.global_iterative_unstructured([(small, "weight")], prune.L1Unstructured, 0.5, pattern=prune.n_of_m(2, 4))
    x = torch.rand(2, 4, 5, 5)
    rows = small.weight.flatten(1)
    assert set(groups_of(rows != 0, 4)) == {2}
    product = (rows @ F.unfold(x, 3)).unflatten(2, (3, 3)) + small.bias[:, None, None]
    torch.testing.assert_close(product, small(x))


def test_the_counts_on_the_way_are_those_of_the_schedule() -> None:
    kept: list[int] = []
    prune.global_iterative_unstructured(
        mlp(), prune.SynFlow, 0.5, example_inputs=X, iterations=4, pattern=prune.n_of_m(2, 4),
        callback=lambda step, report: kept.append(report.kept),
    )  # fmt: skip
    assert kept == [round(144 * 0.5 ** (step / 4)) for step in (1, 2, 3, 4)]


def test_layers_that_are_computed_on_their_living_channels_keep_their_groups() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    report = prune.global_iterative_unstructured(
        model, prune.SynFlow, 7 / 8, example_inputs=torch.ones(1, 64), pattern=prune.n_of_m(1, 8), iterations=30
    )
    assert 8 * report.kept == report.total
    assert all(set(groups_of(mask, 8)) == {1} for mask in masks_of(model))
    assert bool((model[2].weight_mask.sum(0) == 0).any())  # inputs that nothing reads, left out on the way


def test_a_tied_weight_counts_once() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    model[2].weight = model[0].weight
    report = prune.global_iterative_unstructured(
        model, prune.SynFlow, 0.5, example_inputs=X, pattern=prune.n_of_m(2, 4)
    )
    assert (report.kept, report.total) == (32, 64)
    assert torch.equal(model[0].weight_mask, model[2].weight_mask)


def test_what_is_two_of_four_already_stays_as_it_is() -> None:
    model = mlp()
    arguments: dict[str, Any] = {"example_inputs": X, "pattern": prune.n_of_m(2, 4)}
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, **arguments)
    before = masks_of(model)
    prune.global_iterative_unstructured(model, prune.SNIP, 0, data=(X, torch.tensor([0])), loss_fn=F.cross_entropy,
        pattern=prune.n_of_m(2, 4))  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(before, masks_of(model), strict=True))


@pytest.mark.parametrize(
    ("n", "m", "error", "message"),
    [
        (0, 4, ValueError, r"n: expected an int from 1 to m, 4, got 0"),
        (5, 4, ValueError, r"n: expected an int from 1 to m, 4, got 5"),
        (2.0, 4, TypeError, r"n: expected an int, got 2\.0"),
        (True, 4, TypeError, r"n: expected an int, got True"),
        (2, "4", TypeError, r"m: expected an int, got '4'"),
        (1, 0, ValueError, r"m: expected an int of at least 1, got 0"),
    ],
)
def test_numbers_that_are_no_pattern(n: Any, m: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        prune.n_of_m(n, m)


class Foreign(prune.BasePruningMethod):  # type: ignore[misc]
    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float) -> None:
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class Keeping(prune.SynFlowUnstructured):
    keep_layers = True


@pytest.mark.parametrize(
    ("build", "method", "arguments", "message"),
    [
        (mlp, prune.SynFlow, {"amount": 0.4},
         r"amount: expected 0\.5, which leaves the 72 of 144 .* prune\.n_of_m\(2, 4\) keeps, got 0\.4, .* 86"),
        (mlp, prune.SynFlow, {"amount": 71}, r"amount: expected 0\.5, .* got 71"),
        (lambda: nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 4)), prune.SynFlow, {},
         r"1\.weight: expected rows with a multiple of 4 elements, got 6 .* leave it out of parameters"),
        (lambda: nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4)), prune.SynFlow, {},
         r"1\.weight: expected a weight of two or more dimensions, got shape \(4,\); leave it out of parameters"),
        (lambda: nn.Sequential(nn.Unflatten(1, (8, 1, 1)), nn.ConvTranspose2d(8, 4, 2)), prune.SynFlow, {},
         r"1\.weight: expected no transposed convolution, .* leave it out of parameters"),
        (mlp, prune.SynFlow, {"layer_densities": prune.uniform}, r"layer_densities: expected none together with"),
        (mlp, prune.SynFlow, {"pattern": (2, 4)}, r"pattern: expected prune\.n_of_m\(n, m\), got \(2, 4\)"),
        (mlp, Foreign, {}, r"pattern: expected a method with scores .* got Foreign"),
        (mlp, Keeping, {}, r"pattern: expected none, because Keeping\.keep_layers is set"),
    ],
)  # fmt: skip
def test_errors_say_what_to_do_and_change_nothing(
    build: Any, method: Any, arguments: dict[str, Any], message: str
) -> None:
    model = build()
    before = fingerprint(model)
    parameters = prune.PrunableParameters(
        [(module, "weight") for module in model if isinstance(getattr(module, "weight", None), Tensor)], model
    )
    given: dict[str, Any] = {"amount": 0.5, "pattern": prune.n_of_m(2, 4), "example_inputs": X, **arguments}
    with pytest.raises((TypeError, ValueError), match=message):
        prune.global_iterative_unstructured(parameters, method, **given)
    assert fingerprint(model) == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch's semi-structured tensors are on CUDA")
def test_torch_takes_two_of_four_as_semi_structured() -> None:
    model = nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 128)).cuda()
    x = torch.rand(64, 128, device="cuda")
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=x, pattern=prune.n_of_m(2, 4))
    prune.remove_all(model)
    model.half().eval()
    with torch.no_grad():
        dense = model(x.half())
        for layer in (model[0], model[2]):
            sparse = torch.sparse.to_sparse_semi_structured(layer.weight)
            torch.testing.assert_close(sparse.to_dense(), layer.weight)
            layer.weight = nn.Parameter(sparse)
        torch.testing.assert_close(model(x.half()), dense, rtol=1e-2, atol=1e-2)
