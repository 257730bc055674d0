"""Maps with equal rows and columns, computed once: the same scores as when each position is computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.flow.engine.recorded import by_definition, model_again
from torch_synflow import prune
from torch_synflow.flow.engine import equal_rows, replay
from torch_synflow.flow.engine.tape import Tape

X = torch.ones(1, 3, 24, 20)


def conv(inputs: int, outputs: int, size: int = 3, **options: Any) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, **options), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Net(nn.Module):
    """A stem, whatever a test is about, and a head."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.stem, self.side = conv(3, 6, padding=1), conv(6, 6, 5, padding=2)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)).mean((2, 3)))

    def body(self, x: Tensor) -> Tensor:
        return self.side(x)


class Adds(Net):
    """A branch whose map has other rows than what it is added to."""

    def body(self, x: Tensor) -> Tensor:
        return x + self.side(x)


class AddsInPlace(Net):
    def body(self, x: Tensor) -> Tensor:
        y = self.side[1](self.side[0](x))
        y += x
        return y


class AddsInPlaceToWhatIsReadAgain(Net):
    def body(self, x: Tensor) -> Tensor:
        y = self.side[1](self.side[0](x))
        z = y.view(y.shape)
        y += x
        return y + z


class Joins(Net):
    def __init__(self) -> None:
        super().__init__(12)

    def body(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.side(x)], 1)


class Flattens(Net):
    """Positions that are no longer alike."""

    def __init__(self) -> None:
        super().__init__(6 * 24 * 20)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.side(self.stem(x)).flatten(1))


class Embeds(Net):
    """A constant that differs at each position along a row."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.rand(1, 1, 1, 20))  # along two dimensions it would stand for the input

    def body(self, x: Tensor) -> Tensor:
        return self.side(x + self.places)


class Pools(Net):
    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.pool = pool

    def body(self, x: Tensor) -> Tensor:
        return self.side(self.pool(self.side(x)))


class Excites(Net):
    """A gate for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(6, 6, 1)

    def body(self, x: Tensor) -> Tensor:
        return self.side(x * self.gate(F.adaptive_avg_pool2d(x, 1)))


POOLS = [
    nn.MaxPool2d(2), nn.MaxPool2d(3, 2, padding=1), nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(3, dilation=2),
    nn.AvgPool2d(2), nn.AvgPool2d(3, 2, padding=1), nn.AvgPool2d(3, padding=1, count_include_pad=False),
    nn.AvgPool2d(2, divisor_override=3), nn.AdaptiveMaxPool2d(7), nn.Upsample(scale_factor=2),
]  # fmt: skip


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes of the maps of the last recorded pass, as they are computed."""
    found: list[torch.Size] = []

    def share(tape: Tape) -> None:
        equal_rows.share_positions(tape)
        found[:] = [tape.shapes[out] for step in tape.steps for out in step.outs if out is not None]

    monkeypatch.setattr(replay, "share_positions", share)
    return found


@pytest.mark.parametrize(
    "build",
    [Net, Adds, AddsInPlace, AddsInPlaceToWhatIsReadAgain, Joins, Flattens, Embeds, Excites]
    + [lambda pool=pool: Pools(pool) for pool in POOLS],
)
def test_scores_are_by_definition(build: Any, shapes: list[torch.Size], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch_synflow.flow.positive.synflow_by_definition", model_again)
    torch.manual_seed(0)
    model = build().double()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.uniform_()
                module.weight.uniform_(0.5, 2)
                module.running_var.uniform_(0.5, 2)
    scores = prune.synflow_scores(model, X)
    held = any(len(shape) == 4 and shape[2:] == (3, 3) for shape in shapes)
    assert held is not isinstance(model, AddsInPlaceToWhatIsReadAgain)
    if isinstance(model, Excites):  # a gate is read over its own value
        assert float(scores[model.head, "weight"].sum()) > 0
        return
    for score, expected in zip(scores.values(), by_definition(model, X), strict=True):
        torch.testing.assert_close(score.as_subclass(Tensor), expected, rtol=1e-11, atol=0)


def test_gates_score_as_they_do_with_all_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = Excites().double()
    shared = prune.synflow_scores(model, X)
    monkeypatch.setattr(replay, "share_positions", lambda tape: None)
    for score, expected in zip(shared.values(), prune.synflow_scores(model, X).values(), strict=True):
        torch.testing.assert_close(score, expected, rtol=1e-11, atol=0)


def test_an_image_of_224_is_computed_on_few_positions(shapes: list[torch.Size]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        conv(3, 4, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1), conv(4, 4, padding=1), nn.AdaptiveAvgPool2d(1)
    )
    prune.synflow_scores(model, torch.ones(1, 3, 224, 224))
    assert max(shape.numel() for shape in shapes if len(shape) == 4 and shape[1] == 4) == 4 * 56 * 56  # for the mean
    assert [tuple(shape[2:]) for shape in shapes[:1]] == [(4, 4)]


@pytest.mark.parametrize("build", [Adds, AddsInPlace, AddsInPlaceToWhatIsReadAgain, Embeds])
def test_balanced_sums_score_as_they_do_with_all_positions(
    build: Any, shapes: list[torch.Size], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums over a map count each row and column as often as it is repeated."""
    if build is not AddsInPlaceToWhatIsReadAgain:  # whose view is expanded into a copy, so that R differs
        monkeypatch.setattr("torch_synflow.flow.positive.synflow_by_definition", model_again)
    torch.manual_seed(0)
    model = build().double()
    shared = prune.BalancedSynFlow.scores(model, example_inputs=X)
    assert any(len(shape) == 4 and shape[2:] == (3, 3) for shape in shapes)
    monkeypatch.setattr(replay, "share_positions", lambda tape: None)
    every = prune.BalancedSynFlow.scores(model, example_inputs=X)
    for score, expected in zip(shared.values(), every.values(), strict=True):
        torch.testing.assert_close(score, expected, rtol=1e-11, atol=0)
