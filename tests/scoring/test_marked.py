"""Scores are told from weights by their mark, and checked before they are ranked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.small_net import BATCH, Net, X, refuses, weights
from torch_synflow import SNIP, GraSP, SynFlow, prune


def test_an_unbound_method_refuses_raw_weights_from_torchs_functions() -> None:
    """Frozen, without gradients, whatever their values: nothing but scores is ranked."""
    model = Net()
    torchs = torch.nn.utils.prune.global_unstructured
    for method in (SynFlow, SNIP, GraSP):
        message = rf"{method.__name__} ranks scores, not weights.*importance_scores.*prune\.global_iterative"
        refuses(ValueError, message, model, lambda method=method: torchs(weights(model), method, amount=0.5))
        with torch.no_grad():
            refuses(ValueError, message, model, lambda method=method: torchs(weights(model), method, amount=0.5))
        refuses(ValueError, message, model, lambda method=method: method.apply(model[0], "weight", 0.5))
        partial = {(model[0], "weight"): prune.synflow_scores(model, X)[model[0], "weight"]}
        refuses(
            ValueError,
            message,
            model,
            lambda method=method, partial=partial: torchs(
                weights(model), method, importance_scores=partial, amount=0.5
            ),
        )


def test_marked_scores_of_the_user_are_ranked() -> None:
    model = nn.Linear(3, 1)
    scores = {(model, "weight"): torch.tensor([[-3.0, 2.0, -1.0]]).as_subclass(prune.Scores)}
    torch.nn.utils.prune.global_unstructured([(model, "weight")], GraSP, importance_scores=scores, amount=2)
    assert model.weight_mask.tolist() == [[0.0, 1.0, 0.0]]
    assert type(model.weight_mask) is Tensor
    scores[model, "weight"] = torch.full((1, 3), torch.nan).as_subclass(prune.Scores)
    with pytest.raises(ValueError, match="scores: expected finite"):
        torch.nn.utils.prune.global_unstructured([(model, "weight")], SNIP, importance_scores=scores, amount=0)


def test_scores_that_are_nan_infinite_or_zero_for_a_layer() -> None:
    for value, methods in (
        (float("nan"), (SynFlow, prune.L1Unstructured)),
        (float("inf"), (SynFlow, prune.L1Unstructured)),
    ):
        for method in methods:
            model = Net()
            with torch.no_grad():
                model[3].weight[1, 1] = value
            refuses(
                ValueError,
                r"3\.weight|0\.weight",
                model,
                lambda m=method, model=model: prune.global_iterative_unstructured(model, m, 0.5, example_inputs=X),
            )
    model = Net()
    nn.init.zeros_(model[3].weight)
    with pytest.warns(UserWarning, match=r"SynFlow: all zero, so treated as ones: 3\.weight"):
        assert all(score.all() for score in prune.synflow_scores(model, X).values())
    refuses(
        ValueError,
        r"0\.weight: every one of its SNIP",
        model,
        lambda: prune.global_iterative_unstructured(model, SNIP, 0.5, **BATCH),
    )
