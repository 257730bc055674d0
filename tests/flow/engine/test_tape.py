"""A recorded forward pass does what the model does, or is known not to and is not used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torch_synflow import flow, prune
from torch_synflow.flow.passes import record
from torch_synflow.flow.positive import PositiveNetwork
from torch_synflow.model.parameters import Entry, resolve
from torch_synflow.scoring.opening import opened
from torch_synflow.scoring.task import Task
from torch_synflow.selection import threshold
from torch_synflow.selection.survivors import Survivors, Together

X = torch.ones(1, 6)


class Body(nn.Module):
    """Two layers, and between them whatever a test is about."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.between(torch.relu(self.first(x))))

    def between(self, x: Tensor) -> Tensor:
        return x


def network_of(model: nn.Module, x: Tensor = X) -> tuple[list[Entry], PositiveNetwork]:
    entries = resolve(prune.prunable_parameters(model), model)
    return entries, prune.SynFlow.network(Task(model, x), entries, [entry.mask for entry in entries])


def tape_of(model: nn.Module, x: Tensor = X) -> Any:
    network = network_of(model, x)[1]
    with opened(network, training=False):
        return record(network, network.whole(), network.inputs)[0]


def by_definition(model: nn.Module, x: Tensor = X) -> list[Tensor]:
    """dR/dw * w of the network of absolute values, by autograd."""
    model.double()
    weights = [module.weight for module, _ in prune.prunable_parameters(model)]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    gradients = torch.autograd.grad(model.eval()(torch.ones_like(x[:1]).double()).sum(), weights)
    return [gradient * weight.detach() for gradient, weight in zip(gradients, weights, strict=True)]


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


class ByMatmulToo(Body):
    """A weight that is also used in another way than by its layer."""

    def between(self, x: Tensor) -> Tensor:
        return x + x @ (self.first.weight @ self.first.weight.T)


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


def model_again(*_: Any) -> Any:
    raise AssertionError("the recorded pass was not used")


@pytest.mark.parametrize(
    "model", [Body, Branches, WritesToItsOwn, WritesToZeros, TiedTwice, ByMatmulToo, Scaled, Counts]
)
def test_a_recorded_pass_scores_by_definition(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch_synflow.flow.positive.measure", model_again)
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


class Remembers(Body):
    """The second half of what it computes is what the pass before has left."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def between(self, x: Tensor) -> Tensor:
        self.passes += 1
        return x


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


def test_the_model_runs_once_for_all_iterations() -> None:
    model = Remembers()
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=X, iterations=50)
    assert model.passes == 0  # as it was
    calls: list[int] = []
    model = Body()
    model.second.register_forward_hook(lambda *_: calls.append(1))
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=X, iterations=50)
    assert len(calls) == 1


def test_what_flows_through_layers_and_elsewhere_is_known_to_be_sound() -> None:
    """Where a gradient is negative the scores themselves are looked at."""

    class Falling(ByMatmulToo):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cos(1e-3 * super().forward(x))

    for model in (Body(), ByMatmulToo()):
        entries, network = network_of(model)
        prune.SynFlow.score_entries(entries, network)
        assert network.sound

    class FallingElsewhere(Body):
        def __init__(self) -> None:
            super().__init__()
            self.beside = nn.Linear(self.first.out_features, self.first.out_features, bias=False)

        def between(self, x: Tensor) -> Tensor:
            return x + torch.cos(1e-6 * (x @ self.beside.weight))

    for falling in (Falling(), FallingElsewhere()):
        entries, network = network_of(falling)
        with pytest.raises(ValueError, match=r"got negative ones.*'cos'"):
            prune.SynFlow.score_entries(entries, network)
        assert not network.sound


def test_a_negative_flow_is_not_sound() -> None:
    entries, network = network_of(Body())
    prune.SynFlow.score_entries(entries, network)
    assert network.sound
    network.weights["second.weight"].neg_()  # so the gradient at the first is negative
    network.scores(network.mode)
    assert not network.sound


def test_an_autograd_function_is_recorded_registered_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch_synflow.flow.positive.measure", model_again)

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


def test_a_recorded_pass_with_another_r_than_the_model_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: Any) -> Any:
        tape, result, used = record(*arguments)
        return tape, 1.01 * result, used

    monkeypatch.setattr("torch_synflow.flow.positive.record", wrong)
    calls: list[int] = []
    torch.manual_seed(0)
    model = Body()
    model.second.register_forward_hook(lambda *_: calls.append(1))
    scores = prune.synflow_scores(model, X)
    assert len(calls) == 2
    for score, expected in zip(scores.values(), by_definition(model), strict=True):
        torch.testing.assert_close(score.as_subclass(Tensor), expected, rtol=1e-12, atol=0)


@pytest.mark.filterwarnings("ignore:SynFlow. zero throughout")
def test_a_wrong_bracket_is_found_out_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a bad guess of the threshold, selection returns the masks, and writes no weight."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 4))
    nn.init.zeros_(model[4].weight)  # read as ones
    entries, network = network_of(model)
    survivors = Survivors([entry.mask for entry in entries])
    scores = prune.SynFlow.score_entries(entries, network)
    whole = torch.cat([scores.whole(number) for number in range(3)])
    expected = torch.zeros(len(whole), dtype=torch.bool).index_fill(0, whole.topk(700).indices, True)
    before = {name: weight.clone() for name, weight in network.weights.items()}
    for low, high in ((float(whole.max()), 1e300), (0.0, float(whole.min()))):
        monkeypatch.setattr(threshold, "_bracket", lambda *_, low=low, high=high: (low, high))
        survivors = Survivors([entry.mask for entry in entries])
        survivors.keep_highest(prune.SynFlow.score_entries(entries, network), Together(700))
        assert torch.equal(torch.cat([mask.view(-1) for mask in survivors.masks]), expected)
        assert all(torch.equal(network.weights[name], weight) for name, weight in before.items())
    network.apply_masks(survivors)
    for (name, weight), mask in zip(before.items(), survivors.masks, strict=True):
        assert torch.equal(network.weights[name], weight * mask)
