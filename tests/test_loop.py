"""What users pass to the helper: each works, or one clear error names the argument and the fix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.small_net import BATCH, Net, X, Y, refuses, weights
from torch_synflow import SNIP, GraSP, SynFlow, prune, schedules
from torch_synflow.schedules import exponential, linear


def test_a_plain_list_without_a_model_shows_the_call_that_works() -> None:
    model = Net()
    for method, needs in ((SynFlow, "model and example_inputs"), (SNIP, "model and data and loss_fn")):
        refuses(
            ValueError,
            rf"{method.__name__} needs {needs}, got none; for example prune\.global_iterative_unstructured\(params, ",
            model,
            lambda method=method: prune.global_iterative_unstructured(weights(model), method, 0.5),
        )


def test_no_input_no_data_or_no_loss_function() -> None:
    model = Net()
    run = prune.global_iterative_unstructured
    refuses(ValueError, "needs example_inputs, got none.*example_inputs=x", model, lambda: run(model, SynFlow, 0.5))
    refuses(ValueError, "needs data, got none", model, lambda: run(model, SNIP, 0.5, loss_fn=F.cross_entropy))
    refuses(ValueError, "needs loss_fn, got none", model, lambda: run(model, GraSP, 0.5, data=(X, Y)))
    refuses(TypeError, "loss_fn: expected a function", model, lambda: run(model, SNIP, 0.5, data=(X, Y), loss_fn=3))
    refuses(
        TypeError, "example_inputs: expected a tensor", model, lambda: run(model, SynFlow, 0.5, example_inputs=(5,))
    )
    refuses(
        TypeError,
        "model: expected an nn.Module",
        model,
        lambda: run(weights(model), SynFlow, 0.5, model=X, example_inputs=X),
    )
    refuses(
        TypeError,
        "model: expected an nn.Module",
        model,
        lambda: run(weights(model), prune.L1Unstructured, 0.5, model=3),
    )


@pytest.mark.parametrize(
    ("iterations", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), (True, TypeError), ("3", TypeError)]
)
def test_iterations_that_mean_nothing(iterations: Any, error: type[Exception]) -> None:
    model = Net()
    refuses(
        error,
        "iterations: expected",
        model,
        lambda: prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X, iterations=iterations),
    )


def test_iterations_may_be_numpy_integers() -> None:
    assert prune.global_iterative_unstructured(Net(), SynFlow, 0.5, example_inputs=X, iterations=np.int32(3)).kept == 28


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        (lambda k, n, d: 0.5 if k == 1 else 0.9, ValueError, "never rise"),
        (lambda k, n, d: 1 - d, ValueError, "final density 0.1"),
        (lambda k, n, d: 1.5, ValueError, r"\(0, 1\]"),
        (lambda k, n, d: 0.0, ValueError, r"\(0, 1\]"),
        (lambda k, n, d: -0.1, ValueError, r"\(0, 1\]"),
        (lambda k, n, d: float("nan"), ValueError, r"\(0, 1\]"),
        (lambda k, n, d: "0.1", TypeError, "expected a density"),
        ("exponential", TypeError, "torch_synflow.schedules has exponential and linear"),
    ],
)
def test_schedules_that_can_not_be_followed(schedule: Any, error: type[Exception], message: str) -> None:
    model = nn.Sequential(nn.Linear(10, 10, bias=False))
    refuses(
        error,
        f"schedule: .*{message}",
        model,
        lambda: prune.global_iterative_unstructured(
            model, SynFlow, 0.9, example_inputs=torch.ones(1, 10), iterations=3, schedule=schedule
        ),
    )


def test_schedules_and_callbacks_see_every_iteration() -> None:
    for schedule in (schedules.linear, schedules.exponential, lambda k, n, d: d):
        seen: list[tuple[int, int]] = []
        prune.global_iterative_unstructured(
            nn.Linear(10, 10),
            SynFlow,
            0.84,
            example_inputs=torch.rand(1, 10),
            iterations=2,
            schedule=schedule,
            callback=lambda step, report, seen=seen: seen.append((step, report.kept)),
        )
        assert seen == [(1, round(100 * schedule(1, 2, 0.16))), (2, 16)]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP, prune.L1Unstructured])
def test_under_no_grad_and_inference_mode(mode: Any, method: Any) -> None:
    plain, model = Net(), Net()
    prune.global_iterative_unstructured(plain, method, 0.5, example_inputs=X, **BATCH)
    with mode():
        inputs = X.clone()
        prune.global_iterative_unstructured(
            model, method, 0.5, example_inputs=inputs, data=(inputs, Y), loss_fn=F.cross_entropy
        )
    for index in (0, 3):
        assert torch.equal(model[index].weight_mask, plain[index].weight_mask)
    model(X).sum().backward()
    assert model[0].weight_orig.grad is not None


def test_pruning_methods_that_are_none() -> None:
    model = Net()
    run = prune.global_iterative_unstructured
    for wrong in ("SynFlow", prune.l1_unstructured, prune.L1Unstructured(0.5), nn.Linear, None):
        refuses(
            TypeError, "pruning_method: expected a BasePruningMethod class", model, lambda w=wrong: run(model, w, 0.5)
        )
    refuses(
        TypeError,
        "PRUNING_TYPE is 'unstructured', got LnStructured",
        model,
        lambda: run(model, prune.LnStructured, 0.5),
    )
    refuses(TypeError, r"supports Identity\(amount=\.\.\.\)", model, lambda: run(model, prune.Identity, 0.5))

    class Careless(prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def __init__(self, amount: float) -> None:
            self.amount = amount

        def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
            return default_mask * (t > 0)

    refuses(ValueError, r"expected Careless\.compute_mask to keep 28 of 56", model, lambda: run(model, Careless, 0.5))


def test_schedules_decide_what_each_iteration_keeps() -> None:
    counts: dict[str, list[int]] = {}
    for schedule in (exponential, linear):
        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))  # 96 weights
        kept: list[int] = []
        prune.global_iterative_unstructured(
            model,
            prune.SynFlow,
            0.75,
            example_inputs=torch.rand(1, 8),
            iterations=3,
            schedule=schedule,
            callback=lambda step, report, kept=kept: kept.append(report.kept),  # type: ignore[misc]
        )
        counts[schedule.__name__] = kept
    # 96 * 4 ** (-k / 3) = 60.5, 38.1, 24 and 96 - 24 k
    assert counts == {"exponential": [60, 38, 24], "linear": [72, 48, 24]}


@pytest.mark.parametrize(
    ("iterations", "error"),
    [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError), ("3", TypeError)],
)
def test_bad_iterations_are_refused(iterations: Any, error: type[Exception]) -> None:
    model = nn.Linear(4, 8)
    with pytest.raises(error, match=f"iterations: expected .*got {iterations!r}"):
        prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5, iterations=iterations)
    assert not prune.is_pruned(model)


@pytest.mark.parametrize(
    ("method", "iterations"),
    [
        (prune.SynFlow, 100),
        (prune.SNIP, 1),
        (prune.GraSP, 1),
        (prune.L1Unstructured, 1),
        (prune.RandomUnstructured, 1),
    ],
)
def test_the_methods_own_iterations_are_the_default(method: Any, iterations: int) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    steps: list[int] = []
    prune.global_iterative_unstructured(
        model,
        method,
        0.5,
        example_inputs=torch.rand(1, 4),
        data=(torch.rand(6, 4), torch.arange(6) % 2),
        loss_fn=nn.functional.cross_entropy,
        callback=lambda step, report: steps.append(step),
    )
    assert steps == list(range(1, iterations + 1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sparsity": 0.9}, TypeError, r"unexpected keyword argument 'sparsity'; amount is the fraction or the number"),
        ({"levels": 9}, TypeError, r"unexpected keyword argument 'levels'$"),
        ({"amuont": 0.9}, TypeError, r"unexpected keyword argument 'amuont'; did you mean amount\?$"),
        ({"callback": "print"}, TypeError, r"callback: expected a function callback\(step, report\), got 'print'"),
    ],
)
def test_arguments_that_are_none(arguments: Any, error: type[Exception], message: str) -> None:
    model = Net()
    with pytest.raises(error, match=message):
        prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5, **arguments)
    assert not hasattr(model[0], "weight_mask")


def test_sparsity_in_the_place_of_amount_gets_the_hint() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'sparsity'; amount is the fraction or the number"):
        prune.global_iterative_unstructured(Net(), prune.L1Unstructured, sparsity=0.9)


@pytest.mark.parametrize(
    "listed", [nn.Module.parameters, nn.Module.named_parameters, nn.Module.modules, nn.Module.state_dict]
)
def test_what_is_no_list_of_pairs_is_said_before_what_a_method_needs(listed: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"parameters.*prunable_parameters"):
        prune.global_iterative_unstructured(listed(Net()), prune.SynFlow, 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "seen"),
    [("SynFlow", "'SynFlow', a name"), (prune.SynFlow(0.5), "an instance"), (prune.synflow_unstructured, "a function")],
)
def test_what_is_no_class_is_no_method(method: Any, seen: str) -> None:
    with pytest.raises(TypeError, match=rf"pruning_method: .*{seen}; pass the class itself"):
        prune.global_iterative_unstructured(Net(), method, 0.5)


def test_a_count_that_looks_like_per_cent_is_pointed_out() -> None:
    with pytest.warns(UserWarning, match=r"amount: 95 is a count, out of 10,000 weights; for 95 percent, write 0\.95"):
        report = prune.global_iterative_unstructured(nn.Linear(100, 100), prune.L1Unstructured, 95)
    assert report.kept == 9_905
