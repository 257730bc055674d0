"""Whatever fails, and wherever, the model is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.faults.fingerprint import fingerprint
from tests.cases import MODELS, SCORED, MethodCase, ModelCase, prune_case
from tests.contract.runs import burden, equal, every_failure, every_method, every_model, every_scored_method, raiser
from tests.masks import distinct, masks_of
from torch_synflow import prune


def assert_rolls_back(
    method: MethodCase, case: ModelCase, model: nn.Module, failure: type[BaseException], **arguments: Any
) -> None:
    """``model`` is bit for bit as it was when pruning fails with ``failure``."""
    before = fingerprint(model)
    with pytest.raises(failure, match="on purpose"):
        prune_case(method, case, model, 0.6, **arguments)
    assert fingerprint(model) == before


@every_model
@every_method
@every_failure
def test_failing_callback_leaves_the_model_as_it_was(
    method: MethodCase, case: ModelCase, failure: type[BaseException]
) -> None:
    model = case.build()
    burden(model)
    assert_rolls_back(method, case, model, failure, callback=raiser(failure, 2))
    fresh = case.build()
    torch.manual_seed(3)
    prune_case(method, case, model, 0.6)
    torch.manual_seed(3)
    prune_case(method, case, fresh, 0.6)
    assert equal(masks_of(model), masks_of(fresh))


@every_model
@every_method
def test_failing_last_callback_leaves_the_model_as_it_was(method: MethodCase, case: ModelCase) -> None:
    assert_rolls_back(method, case, case.build(), RuntimeError, callback=raiser(RuntimeError, 3))


@every_model
@every_scored_method
@every_failure
def test_failing_forward_leaves_the_model_as_it_was(
    method: MethodCase, case: ModelCase, failure: type[BaseException]
) -> None:
    model = case.build()
    burden(model)
    first = issubclass(method.method, prune.SynFlow)  # which runs the forward pass itself only at first
    distinct(model)[-1][0].register_forward_hook(raiser(failure, 1 if first else 3))
    assert_rolls_back(method, case, model, failure)


@every_model
@pytest.mark.parametrize(
    "method", [case for case in SCORED if "loss_fn" in case.method.needs], ids=lambda method: method.name
)
@every_failure
def test_failing_loss_leaves_the_model_as_it_was(
    method: MethodCase, case: ModelCase, failure: type[BaseException]
) -> None:
    fail = raiser(failure, 3)

    def loss_fn(outputs: Any, targets: Any) -> Tensor:
        fail()
        return case.loss_fn(outputs, targets)

    model = case.build()
    burden(model)
    assert_rolls_back(method, case, model, failure, loss_fn=loss_fn)


class FailingLoader:
    """Batches that can be read twice; the third time the second batch is missing."""

    def __init__(self, batch: tuple[Any, Any], failure: type[BaseException]) -> None:
        self.batch = batch
        self.fail = raiser(failure, 3)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        yield self.batch
        self.fail()
        yield self.batch


@pytest.mark.parametrize(
    "method", [case for case in SCORED if "data" in case.method.needs], ids=lambda method: method.name
)
@every_failure
def test_failing_data_leave_the_model_as_it_was(method: MethodCase, failure: type[BaseException]) -> None:
    (case,) = [case for case in MODELS if case.name == "residual"]
    model = case.build()
    burden(model)
    assert_rolls_back(method, case, model, failure, data=FailingLoader(case.batch(), failure))


class Stubborn(nn.Linear):
    """A layer on which no hook can be put: what fails after other layers have got their masks."""

    failure: type[BaseException] | None = None

    def register_forward_pre_hook(self, *arguments: Any, **keywords: Any) -> Any:
        if self.failure is not None:
            raise self.failure("on purpose")
        return super().register_forward_pre_hook(*arguments, **keywords)


@pytest.mark.parametrize("earlier", [0, 1, 2, 3], ids=lambda earlier: f"pruned_{earlier}_times_before")
@every_method
@every_failure
def test_failing_attachment_leaves_the_model_as_it_was(
    method: MethodCase, failure: type[BaseException], earlier: int
) -> None:
    case = MODELS[0]
    stubborn = Stubborn(8, 3)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), stubborn)
    for _ in range(earlier):
        prune_case(method, case, model, 0.1)
    burden(model)
    stubborn.failure = failure
    before = fingerprint(model)
    # torch's own undoing of an Exception in an unpruned layer fails with a KeyError
    with pytest.raises((failure, KeyError)) as raised:
        prune_case(method, case, model, 0.6)
    assert "on purpose" in str(raised.value) or "on purpose" in str(raised.value.__context__)
    assert fingerprint(model) == before
