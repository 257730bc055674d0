"""A recorded forward pass does what the model does, or is known not to and is not used."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.flow.engine.recorded import Body, ByMatmulToo, X, by_definition, model_again, network_of
from torch_synflow import flow, prune
from torch_synflow.flow.passes import record
from torch_synflow.scoring.opening import opened


def tape_of(model: nn.Module, x: Tensor = X) -> Any:
    network = network_of(model, x)[1]
    return opened(network, lambda: record(network, network.whole(), network.inputs)[0], training=False)


class Branches(Body):
    def between(self, x: Tensor) -> Tensor:
        halves = x.chunk(2, dim=1)
        return torch.cat([halves[1] + 1, halves[0] * 2, x[:, :0]], dim=1)


class WritesToItsOwn(Body):
    def between(self, x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        y[:, :4] = x[:, 4:]
        y[:, 4:] += x[:, :4]
        y.mul_(2)
        return y


class WritesToZeros(Body):
    def between(self, x: Tensor) -> Tensor:
        y = torch.zeros(x.shape, dtype=x.dtype)
        y[:, :4] = x[:, 4:]
        y[:, 4:] += x[:, :4]
        return y


class TiedTwice(Body):
    def __init__(self) -> None:
        super().__init__()
        self.square = nn.Linear(8, 8, bias=False)

    def between(self, x: Tensor) -> Tensor:
        return torch.relu(self.square(torch.relu(self.square(x))))


class Scaled(Body):
    """A weight that is multiplied by something else than a mask before its layer has it."""

    def __init__(self) -> None:
        super().__init__()
        self.square = nn.Linear(8, 8)
        self.register_buffer("scale", torch.rand(8, 8))

    def between(self, x: Tensor) -> Tensor:
        return torch.nn.functional.linear(x, self.square.weight * self.scale)


class Counts(Body):
    """A buffer that each pass changes, and that has no say in the outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def between(self, x: Tensor) -> Tensor:
        self.passes += 1
        return x


@pytest.mark.parametrize(
    "model", [Body, Branches, WritesToItsOwn, WritesToZeros, TiedTwice, ByMatmulToo, Scaled, Counts]
)
def test_a_recorded_pass_scores_by_definition(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch_synflow.flow.positive.synflow_by_definition", model_again)
    torch.manual_seed(0)
    built = model()
    assert tape_of(built) is not None
    scores = prune.synflow_scores(built, X)
    for score, expected in zip(scores.values(), by_definition(built), strict=True):
        torch.testing.assert_close(score.as_subclass(Tensor), expected, rtol=1e-12, atol=0)


class Decides(Body):
    """What it computes depends on the values."""

    def between(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


class TakesAValue(Body):
    def between(self, x: Tensor) -> Tensor:
        return x * float(x.detach().max())


class Draws(Body):
    def between(self, x: Tensor) -> Tensor:
        return x * (1 + 0 * torch.rand(()))


@pytest.mark.parametrize("model", [Decides, TakesAValue, Draws])
def test_a_pass_that_can_not_be_run_again_runs_the_model_each_time(model: Any) -> None:
    torch.manual_seed(0)
    built = model()
    assert tape_of(built) is None
    expected = by_definition(built)
    for score, value in zip(prune.synflow_scores(built, X).values(), expected, strict=True):
        torch.testing.assert_close(score.as_subclass(Tensor), value, rtol=1e-12, atol=0)
    report = prune.global_iterative_unstructured(built, prune.SynFlow, 0.5, example_inputs=X, iterations=4)
    assert report.kept == 36


@pytest.mark.parametrize(("model", "operation"), [(Decides, "'__bool__'"), (TakesAValue, "'__float__'")])
def test_what_cannot_be_recorded_is_logged_with_the_line_of_the_model(
    model: Any, operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "torch_synflow"):
        prune.synflow_scores(model(), X)
    line = model.between.__code__.co_firstlineno + 1
    assert f"{operation} takes values out of the pass (test_tape.py, line {line})" in caplog.text


class CastToMatch(Body):
    """A constant that has only its precision from a flow."""

    def between(self, x: Tensor) -> Tensor:
        mask = torch.ones(8).to(x)
        return x * mask if bool(mask.any()) else x


def test_a_constant_that_is_cast_like_a_flow_stays_a_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch_synflow.flow.positive.synflow_by_definition", model_again)
    prune.synflow_scores(CastToMatch(), X)


@pytest.mark.filterwarnings("ignore:SynFlow. without a homogeneous surrogate")
def test_an_autograd_function_is_recorded_registered_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch_synflow.flow.positive.synflow_by_definition", model_again)

    class Hidden(torch.autograd.Function):
        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x * 3

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient * 3

    class Custom(Body):
        def between(self, x: Tensor) -> Tensor:
            return Hidden.apply(x)  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model = Custom()
    expected = by_definition(model)
    for _ in ("passed through", "registered"):
        for score, wanted in zip(prune.synflow_scores(model, X).values(), expected, strict=True):
            torch.testing.assert_close(score.as_subclass(Tensor), wanted, rtol=1e-12, atol=0)
        flow.register(Hidden)(lambda x: x * 3)
