"""Inverted methods rank by the negative score, through the loop and through torch's functions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from tests.cases import BATCH, METHODS, MODELS, MethodCase, ModelCase, prune_case
from tests.masks import distinct, mask_of
from torch_synflow import ablations, prune

SCORED = [method for method in METHODS if method.scored]


@pytest.mark.parametrize("method", SCORED, ids=lambda method: method.name)
@pytest.mark.parametrize("case", [case for case in MODELS if not case.half], ids=lambda case: case.name)
def test_inverted_scores_are_the_negative(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    arguments = method.arguments(case)
    if case.random:
        model.eval()
    upright, inverted = (
        cls.scores(model, prune.prunable_parameters(model), **arguments)  # type: ignore[attr-defined]
        for cls in (method.method, ablations.inverted(method.method))
        if torch.manual_seed(0)
    )
    for pair, score in upright.items():
        torch.testing.assert_close(inverted[pair].as_subclass(Tensor), -score.as_subclass(Tensor))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_inverted_methods_go_through_the_loop(method: MethodCase) -> None:
    case = MODELS[0]
    model = case.build()
    inverted = MethodCase(ablations.inverted(method.method), method.arguments, method.scored)
    assert prune_case(inverted, case, model, 0.6).kept == 26
    assert inverted.method.__name__ == f"Inverted{method.name}"


@pytest.mark.parametrize("method", [m for m in METHODS if "Random" not in m.name], ids=lambda method: method.name)
def test_what_is_inverted_is_the_complement(method: MethodCase) -> None:
    """Of 64 entries the 20 that a method would prune first are those that the inverted one keeps."""
    case = MODELS[1]
    upright, inverted = case.build(), case.build()
    prune_case(method, case, upright, 20, iterations=1)
    cls = MethodCase(ablations.inverted(method.method), method.arguments, method.scored)
    prune_case(cls, case, inverted, 44, iterations=1)
    for one, other in zip(map(mask_of, distinct(upright)), map(mask_of, distinct(inverted)), strict=True):
        assert torch.equal(one, 1 - other)


class Signed(prune.SaliencyUnstructured):
    """Scores that are the weights, signs and zeros included."""

    needs = ()

    @classmethod
    def saliency(cls, network: Any) -> dict[str, Tensor]:
        return {name: weight.clone() for name, weight in network.weights.items()}


def test_inversion_is_defined_at_zero_and_for_signed_scores() -> None:
    model = nn.Linear(4, 1, bias=False)
    model.weight.data.copy_(torch.tensor([[3.0, 0.0, -2.0, 1.0]]))
    prune.global_iterative_unstructured(model, ablations.inverted(Signed), 2)
    assert model.weight_mask.tolist() == [[0.0, 1.0, 1.0, 0.0]]


def test_an_inverted_bound_class_goes_through_torchs_functions() -> None:
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    bound = ablations.inverted(prune.SNIP.bind(model, data=BATCH, loss_fn=F.cross_entropy))
    scores = prune.snip_scores(model, BATCH, F.cross_entropy)
    torch_prune.global_unstructured([(model[0], "weight"), (model[2], "weight")], bound, amount=10)
    gone = torch.cat([scores[m, "weight"][m.weight_mask == 0] for m in (model[0], model[2])])
    assert sorted(gone.tolist()) == sorted(torch.cat([s.flatten() for s in scores.values()]).tolist())[-10:]


def test_inverting_torchs_class_respects_earlier_masks() -> None:
    model = nn.Linear(6, 1, bias=False)
    model.weight.data.copy_(torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]]))
    torch_prune.l1_unstructured(model, "weight", amount=2)
    prune.global_iterative_unstructured([(model, "weight")], ablations.inverted(prune.L1Unstructured), 3)
    assert model.weight_mask.tolist() == [[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]]


def test_only_a_method_can_be_inverted() -> None:
    with pytest.raises(TypeError, match="pruning_method: expected a BasePruningMethod class, got 3"):
        ablations.inverted(3)  # type: ignore[arg-type]
