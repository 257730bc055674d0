"""Scores are of the dense weight times its mask, wide enough, and leave no trace."""

from __future__ import annotations

import pytest
import torch
import torch.nn.utils.prune as torch_prune

from benchmarks.faults.fingerprint import fingerprint
from tests.cases import MODELS, SCORED, MethodCase, ModelCase, prune_case, score_case
from tests.contract.runs import burden, every_model, every_scored_method
from tests.masks import dense, distinct, mask_of, places
from torch_synflow import prune


@every_model
@every_scored_method
def test_scoring_leaves_no_trace_on_the_model(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    burden(model)
    before = fingerprint(model)
    scores = score_case(method, case, model)
    after = fingerprint(model)
    if case.random and method.method.training:
        # drawing is what dropout does; all else is as it was
        del before["random state"], after["random state"]
    assert after == before
    assert set(scores) == set(places(model))
    for pair, score in scores.items():
        assert score.shape == dense(pair).shape
        assert score.dtype in (torch.float32, torch.float64)
        assert not score.requires_grad
        assert bool(torch.isfinite(score).all())


@every_model
@every_scored_method
def test_scores_are_of_dense_weight_times_mask_whatever_the_module_holds(method: MethodCase, case: ModelCase) -> None:
    """An optimiser moves ``name_orig``; ``module.name`` is stale until the next forward pass."""
    model = case.build()
    prune_case(method, case, model, 0.3)
    with torch.no_grad():
        for pair in distinct(model):
            dense(pair).mul_(1.5).add_(0.01)
    torch.manual_seed(3)
    scores = score_case(method, case, model)
    for masked in (True,) if method.masks_matter else (True, False):
        copied = case.build()
        with torch.no_grad():
            for pair, source in zip(places(copied), places(model), strict=True):
                dense(pair).copy_(dense(source) * mask_of(source))
                if masked:
                    torch_prune.custom_from_mask(*pair, mask_of(source))
        torch.manual_seed(3)
        expected = score_case(method, case, copied)
        for pair, other in zip(distinct(model), distinct(copied), strict=True):
            assert torch.equal(scores[pair], expected[other])
            assert not bool(scores[pair][mask_of(pair) == 0].any())


@every_scored_method
def test_scores_are_in_float32_or_wider_whatever_the_model_is(method: MethodCase) -> None:
    for name, at_least in (("mlp_in_bfloat16", 32), ("conv_in_float16", 32), ("mlp_in_float64", 64)):
        (case,) = [case for case in MODELS if case.name == name]
        scores = score_case(method, case, case.build())
        assert all(torch.finfo(score.dtype).bits >= at_least for score in scores.values())


@every_model
@pytest.mark.parametrize(
    # GraSP's Hessian is by definition that of the listed parameters
    "method",
    [method for method in SCORED if not issubclass(method.method, prune.GraSP)],
    ids=lambda method: method.name,
)
def test_scores_do_not_depend_on_which_parameters_are_asked_for(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    torch.manual_seed(3)
    everything = score_case(method, case, model)
    for pair in distinct(model):
        torch.manual_seed(3)
        alone = method.method.scores(model, [pair], **method.arguments(case))  # type: ignore[attr-defined]
        assert set(alone) == {other for other in places(model) if dense(other) is dense(pair)}
        torch.testing.assert_close(alone[pair].double(), everything[pair].double(), rtol=1e-5, atol=1e-9)
