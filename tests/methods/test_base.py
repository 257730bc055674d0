"""What every scored method shares: its functional form, and any precision."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.fingerprint import fingerprint
from benchmarks.faults.fuse import Fuse
from benchmarks.faults.watch import Operations
from tests.small_net import BATCH, Net, X, Y, kept, refuses
from torch_synflow import SNIP, GraSP, SynFlow, prune


@pytest.mark.parametrize(
    ("form", "needs"),
    [
        (prune.synflow_unstructured, {"example_inputs": X}),
        (prune.snip_unstructured, BATCH),
        (prune.grasp_unstructured, BATCH),
    ],
)
def test_functional_forms(form: Any, needs: dict[str, Any]) -> None:
    model = Net()
    original = model[0].weight
    assert form(model[0], "weight", 0.5, model=model, **needs) is model[0]
    assert int(model[0].weight_mask.sum()) == 35 - round(17.5)
    assert model[0].weight_orig is original
    form(model[0], "weight", 7, model=model, **needs)
    assert int(model[0].weight_mask.sum()) == 35 - round(17.5) - 7
    copy.deepcopy(model)
    pickle.dumps(model)
    refuses(ValueError, "amount: expected at most", model, lambda: form(model[0], "weight", 36, model=model, **needs))
    refuses(ValueError, "needs .*got none", model, lambda: form(model[3], "weight", 0.5))
    refuses(
        ValueError,
        r"importance_scores: expected shape \(3, 7\)",
        model,
        lambda: form(model[3], "weight", 0.5, torch.ones(2)),
    )
    refuses(
        ValueError, "importance_scores", model, lambda: form(model[3], "weight", 0.5, torch.full((3, 7), torch.nan))
    )
    form(model[3], "weight", 20, torch.arange(21.0).view(3, 7))
    assert model[3].weight_mask.nonzero().tolist() == [[2, 6]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP, prune.L1Unstructured])
def test_other_precisions(method: Any, dtype: torch.dtype) -> None:
    model = Net().to(dtype)
    x = X.to(dtype)
    report = prune.global_iterative_unstructured(
        model, method, 0.5, example_inputs=x, data=(x, Y), loss_fn=F.cross_entropy
    )
    assert report.kept == kept(model) == 28
    assert model[0].weight_mask.dtype == model[0].weight_orig.dtype == model[0].weight.dtype == dtype


@pytest.mark.parametrize("scores_alone", [True, False])
def test_a_failure_after_scoring_leaves_torchs_random_state(scores_alone: bool) -> None:
    """Dropout has drawn numbers by then."""

    def run(model: nn.Sequential) -> None:
        if scores_alone:
            prune.SNIP.scores(model, **BATCH)
        else:
            prune.snip_unstructured(model[0], "weight", 0.5, model=model, **BATCH)

    model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(), nn.Linear(8, 3))
    twin, count = copy.deepcopy(model), Fuse()
    with Operations(count):
        run(twin)
    (place,) = count.passed
    before = fingerprint(model)
    for call in range(count.passed[place] - 12, count.passed[place] + 1):
        with pytest.raises(KeyboardInterrupt), Operations(Fuse(place, call, KeyboardInterrupt)):
            run(model)
        assert fingerprint(model) == before


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        (lambda weights: list(weights.values()), TypeError, r"Own\.saliency: expected a mapping .* got list"),
        (lambda weights: {}, ValueError, r"Own\.saliency: .* got none for weight$"),
        (lambda weights: {"weight": 3}, TypeError, r"Own\.saliency: expected a real tensor for weight, got int"),
        (lambda weights: {"weight": weights["weight"] > 0}, TypeError, r"expected a real tensor .* got torch\.bool"),
        (lambda weights: {"weight": weights["weight"].to_sparse()}, TypeError, r"real tensor .* got torch\.sparse_coo"),
        (lambda weights: {"weight": weights["weight"].to("meta")}, TypeError, r"real tensor .* got one without values"),
        (
            lambda weights: {"weight": weights["weight"].T},
            ValueError,
            r"shape \(3, 4\) .* got \(4, 3\); these are t",
        ),
        (
            lambda weights: {"weight": weights["weight"][0]},
            ValueError,
            r"shape \(3, 4\) for weight, got \(4,\)",
        ),
    ],
)
def test_scores_of_a_users_method_are_checked(scores: Any, error: type[Exception], message: str) -> None:
    class Own(prune.SaliencyUnstructured):
        needs = ()

        @classmethod
        def saliency(cls, network: Any) -> Any:
            return scores(network.weights)

    model = nn.Linear(4, 3)
    with pytest.raises(error, match=message):
        prune.global_iterative_unstructured(model, Own, 0.5)
    assert not hasattr(model, "weight_mask")


@pytest.mark.parametrize(
    ("scores", "got"),
    [([1.0], "list"), (torch.rand(3, 7) > 0.5, r"torch\.bool"), (torch.rand(3, 7) + 0j, r"torch\.complex64")],
)
def test_importance_scores_that_are_no_real_tensor_are_refused(scores: Any, got: str) -> None:
    model = Net()
    message = rf"importance_scores: expected a real tensor for parameters\[0\] \(Linear\.weight\), got {got}$"
    refuses(TypeError, message, model, lambda: prune.synflow_unstructured(model[3], "weight", 0.5, scores))


@pytest.mark.parametrize("mask", [None, [1.0] * 56, np.ones(56)])
def test_a_mask_of_a_users_method_that_is_no_tensor_is_refused(mask: Any) -> None:
    class Own(prune.L1Unstructured):
        def compute_mask(self, t: Tensor, default_mask: Tensor) -> Any:
            return mask

    message = rf"pruning_method: expected Own\.compute_mask to return a tensor, got {type(mask).__name__}$"
    model = Net()
    refuses(TypeError, message, model, lambda: prune.global_iterative_unstructured(model, Own, 0.5))


def test_a_model_without_inputs_is_shown_the_call_with_the_model_alone() -> None:
    class OfAUser(prune.SaliencyUnstructured):
        needs = ("example_inputs",)

    model = Net()
    for method, name in ((SynFlow, r"prune\.SynFlow"), (OfAUser, "OfAUser")):
        call = rf"for example prune\.global_iterative_unstructured\(model, {name}, amount, example_inputs=x\)$"
        refuses(
            ValueError,
            call,
            model,
            lambda method=method: prune.global_iterative_unstructured(model, method, 0.5),
        )
