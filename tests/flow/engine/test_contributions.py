"""Scores computed in the precision of the weights first: masks are those of float64 all the same."""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from torch_synflow import prune
from torch_synflow.flow.engine import contributions, layers, replay
from torch_synflow.flow.engine.contributions import FlowScores, Measured, Use
from torch_synflow.flow.engine.layers import RecordedLayer
from torch_synflow.flow.engine.tape import Slot, Step
from torch_synflow.flow.positive import PositiveNetwork
from torch_synflow.model.parameters import Entry, resolve
from torch_synflow.scoring.task import Task
from torch_synflow.selection import threshold
from torch_synflow.selection.survivors import Survivors

X = torch.ones(1, 2, 6, 6)


def network_of(model: nn.Module, x: Tensor = X) -> tuple[list[Entry], Survivors, PositiveNetwork]:
    entries = resolve(prune.prunable_parameters(model), model)
    survivors = Survivors([entry.mask for entry in entries])
    return entries, survivors, prune.SynFlow.network(Task(model, x), entries, survivors.masks)


class Tied(nn.Module):
    """A layer that is used twice, at flows of different sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 5, 3, padding=1)
        self.again = nn.Conv2d(5, 5, 3, padding=1)
        self.last = nn.Linear(180, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(1e-3 * self.again(torch.relu(self.first(x))))
        return self.last(x.flatten(1))


def conv_net() -> nn.Module:
    body = [nn.Conv2d(2, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 20, 3, bias=False), nn.ReLU()]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(80, 30), nn.ReLU(), nn.Linear(30, 4))


def masks_after(model: nn.Module, amount: float, iterations: int, *, x: Tensor = X) -> list[Tensor]:
    model = copy.deepcopy(model)
    prune.global_iterative_unstructured(model, prune.SynFlow, amount, example_inputs=x, iterations=iterations)
    return [module.weight_mask for module in model.modules() if hasattr(module, "weight_mask")]


@pytest.fixture
def in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small networks are bracketed, read in several parts, and widened in several."""
    monkeypatch.setattr(layers, "PART", 100)
    monkeypatch.setattr(replay, "PART", 100)
    monkeypatch.setattr(threshold, "_SAMPLE", 64)
    monkeypatch.setattr(contributions, "_LOOKED_UP", 50)


@pytest.mark.usefixtures("in_small_parts")
@pytest.mark.parametrize("build", [conv_net, Tied])
def test_weights_stay_as_narrow_as_they_are_and_scores_are_those_of_float64(build: Any) -> None:
    torch.manual_seed(0)
    model = build()
    entries, _, network = network_of(model)
    scores = prune.SynFlow.score_entries(entries, network)
    assert {weight.dtype for weight in network.weights.values()} == {torch.float32}
    wide = copy.deepcopy(model).double()
    expected = prune.SynFlow.scores(wide, example_inputs=X)
    for number, values in enumerate(expected.values()):
        approximate = torch.cat([part.double() * unit for part, unit in scores.parts(range(number, number + 1))])
        error = (approximate - values.reshape(-1)).abs() / values.reshape(-1)
        assert 0 < float(error.max()) <= scores.error < 1e-4  # narrow, within the bound
        places = torch.arange(0, values.numel(), 3)
        found = scores.at(places + scores.starts[number])
        torch.testing.assert_close(found, values.reshape(-1)[places], rtol=1e-12, atol=0)
    for number, values in enumerate(expected.values()):
        torch.testing.assert_close(scores.whole(number).view_as(values), values.as_subclass(Tensor), rtol=1e-12, atol=0)


@pytest.mark.usefixtures("in_small_parts")
@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    build=st.sampled_from([conv_net, Tied]),
    scale=st.sampled_from([1e-30, 1e-12, 1.0, 1e12, 1e30]),
    layer=st.integers(0, 2),
    iterations=st.sampled_from([1, 3, 8]),
    amount=st.sampled_from([0.1, 0.5, 0.9]),
    half=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_masks_are_those_of_a_model_in_float64(
    build: Any, scale: float, layer: int, iterations: int, amount: float, half: bool, seed: int
) -> None:
    """Whatever the magnitudes of weights and flows."""
    torch.manual_seed(seed)
    model = build()
    with torch.no_grad():
        prune.prunable_parameters(model)[layer][0].weight.mul_(scale)
    if half:
        model = model.bfloat16()
    wide = masks_after(model.double() if half else copy.deepcopy(model).double(), amount, iterations)
    if half:
        model = model.bfloat16()
    narrow = masks_after(model, amount, iterations)
    for mask, expected in zip(narrow, wide, strict=True):
        assert torch.equal(mask.bool(), expected.bool())


@pytest.mark.usefixtures("in_small_parts")
def test_what_is_multiplied_less_precisely_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    entries, _, network = network_of(conv_net())
    assert prune.SynFlow.score_entries(entries, network).error > 0
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert prune.SynFlow.score_entries(entries, network).error == 0
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("in_small_parts")
@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch 2.9 has that setting")
@pytest.mark.parametrize("backend", [torch.backends.cuda, torch.backends.mkldnn])
def test_the_newer_setting_of_precision_is_seen(backend: Any) -> None:
    """For which torch's older function raises."""
    torch.manual_seed(0)
    entries, _, network = network_of(conv_net())
    settings = backend.matmul
    before = settings.fp32_precision
    try:
        settings.fp32_precision = "tf32"
        assert prune.SynFlow.score_entries(entries, network).error == 0
        settings.fp32_precision = "ieee"
        assert prune.SynFlow.score_entries(entries, network).error > 0
    finally:
        settings.fp32_precision = before
    assert torch.get_float32_matmul_precision() == "highest"  # as other tests expect


@pytest.mark.usefixtures("in_small_parts")
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_bracket_that_is_wrong_is_undone(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where weights are blocks or read as ones."""
    torch.manual_seed(0)
    model = conv_net()
    nn.init.zeros_(model[-1].weight)
    with pytest.warns(UserWarning, match="read as ones"):
        expected = masks_after(model, 0.8, 8)

    def wrong(group: Any, keep: int, deviations: float) -> tuple[float, float]:
        return float(group.scores.at(group.alive.nonzero().squeeze(1)).quantile(share)), float("inf")

    monkeypatch.setattr(threshold, "_bracket", wrong)
    with pytest.warns(UserWarning, match="read as ones"):
        found = masks_after(model, 0.8, 8)
    for mask, other in zip(found, expected, strict=True):
        assert torch.equal(mask, other)


class InRows:
    """What a :class:`Measured` asks of a layer."""

    in_rows = True


def measured(weight: Tensor, flows: list[tuple[Tensor, Tensor]]) -> Measured:
    uses = [Use(InRows(), at_output, seen, (float(at_output.max()), float(seen.max()))) for at_output, seen in flows]
    return Measured(weight, float(weight.max()), uses)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    positions=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    spread=st.sampled_from([0.0, 30.0, 150.0]),
    unit=st.sampled_from([-300, 0, 300]),
    weights=st.sampled_from([-146, -130, 0, 60, 110]),
    seed=st.integers(0, 10_000),
)
def test_the_error_holds_for_all_scores_above_the_floor(
    positions: list[int], spread: float, unit: int, weights: int, seed: int
) -> None:
    """Also where products, flows or weights are too small for float32."""
    generator = torch.Generator().manual_seed(seed)

    def flow(*shape: int) -> Tensor:
        exponents = unit / 2 - spread * torch.rand(shape, generator=generator, dtype=torch.float64)
        return torch.exp2(exponents)

    weight = (torch.rand(7, 5, generator=generator).double() * 2.0**weights).float()
    one = measured(weight, [(flow(count, 7), flow(count, 5)) for count in positions])
    error, floor = one.error()
    assert error < 1e-4
    exact = one.at(torch.arange(35))
    got = torch.cat([part.double() * unit for part, unit in one.parts(exact=False)])
    above = exact >= floor
    assert bool(((got - exact).abs() <= error * exact)[above].all())
    assert weights < 0 or spread or bool(above.all())  # ordinary ones are
    # in whatever order float32 adds: the bound of Higham, Accuracy and Stability of Numerical Algorithms, section 3.1
    operations = (sum(positions) + 4) * torch.finfo(torch.float32).eps / 2
    assert error >= operations / (1 - operations)


def test_scores_that_only_float64_can_hold_are_not_taken_for_zero() -> None:
    """The flow at weights that are zero is so much greater that float32 has no numbers for the others."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 2.0]]))
        model[1].weight.copy_(torch.tensor([[1e30, 1e-18], [1.0, 1e-18]]))
    report = prune.global_iterative_unstructured(
        model, prune.SynFlow, 0.5, example_inputs=torch.ones(1, 2), iterations=2
    )
    assert report.kept == 4
    assert model[0].weight_mask.tolist() == [[0, 0], [1, 1]]


class OfItsOwn(prune.SynFlow):  # type: ignore[misc]
    """As SynFlow's, by plain differentiation."""

    @classmethod
    def saliency(cls, network: Any) -> Any:
        gradients = network.gradient(lambda weights: network(weights, network.inputs).sum())
        return {name: gradient * network.weights[name] for name, gradient in gradients.items()}


def test_a_subclass_with_scores_of_its_own_sees_weights_in_float64() -> None:
    """In which the network computes."""
    torch.manual_seed(0)
    model = conv_net()
    expected = prune.SynFlow.scores(model, example_inputs=X)
    for pair, scores in OfItsOwn.scores(model, example_inputs=X).items():
        assert scores.dtype == torch.float64
        torch.testing.assert_close(scores, expected[pair], rtol=1e-12, atol=0)


class Single(prune.SynFlow):  # type: ignore[misc]
    dtype: ClassVar[torch.dtype] = torch.float32


class Mixed(nn.Module):
    """A layer in float64 before one in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Linear(4, 6).double()
        self.narrow = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.narrow(torch.relu(self.wide(x.double())).to(self.narrow.weight.dtype))


@pytest.mark.parametrize("method", [prune.SynFlow, Single])
@pytest.mark.parametrize("iterations", [1, 4])
def test_layers_of_different_precision(method: Any, iterations: int) -> None:
    torch.manual_seed(0)
    model, x = Mixed(), torch.ones(1, 4)
    wide = copy.deepcopy(model).double()
    for one, kind in ((model, method), (wide, prune.SynFlow)):
        prune.global_iterative_unstructured(one, kind, 30, example_inputs=x, iterations=iterations)
    assert torch.equal(model.wide.weight_mask, wide.wide.weight_mask)
    assert torch.equal(model.narrow.weight_mask, wide.narrow.weight_mask.float())


class WithMore(nn.Module):
    """Two layers, a parameter of some shape that only multiplies if it is used, and a layer without outputs."""

    def __init__(self, shape: tuple[int, ...], *, used: bool) -> None:
        super().__init__()
        self.first, self.empty, self.last = nn.Linear(4, 6), nn.Linear(4, 0), nn.Linear(6, 3)
        self.more = nn.Parameter(torch.rand(shape))
        self.used = used

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.cat([torch.relu(self.first(x)), self.empty(x)], 1)
        return self.last(hidden) * (self.more.sum() if self.used else 1)


@pytest.mark.filterwarnings("ignore:SynFlow. on no path", "ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(
    ("shape", "used"),
    [(shape, used) for shape in [(), (1,), (7,), (7, 3), (2, 3, 4)] for used in (True, False)]
    + [((0,), False), ((0, 3), False), ((3, 0), False)],
)
@pytest.mark.parametrize("sample", [4, 1 << 14])
def test_parameters_of_any_shape(
    shape: tuple[int, ...], used: bool, sample: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers, vectors, and tensors without entries, which no layer uses or which are no layer's."""
    torch.manual_seed(0)
    monkeypatch.setattr(threshold, "_SAMPLE", sample)
    model, x = WithMore(shape, used=used), torch.ones(1, 4)
    wide = copy.deepcopy(model).double()
    reports = []
    for one in (model, wide):
        pairs = [(module, "weight") for module in (one.first, one.empty, one.last)]
        reports.append(
            prune.global_iterative_unstructured(
                [*pairs, (one, "more")], prune.SynFlow, 0.8, model=one, example_inputs=x, iterations=3
            )
        )
    assert reports[0] == reports[1]
    assert reports[0].kept == round(0.2 * (42 + model.more.numel()))
    assert torch.equal(model.first.weight_mask, wide.first.weight_mask.float())
    if not used:
        assert not model.more_mask.any()
    scores = prune.SynFlow.scores(wide, [(wide.empty, "weight")], example_inputs=x)[wide.empty, "weight"]
    assert scores.shape == (0, 4)


@pytest.mark.usefixtures("in_small_parts")
@pytest.mark.parametrize(("scale", "narrow"), [(1.0, True), (1e-25, True), (1e38, False)])
def test_weights_at_the_end_of_the_range_are_scored_in_float64(scale: float, narrow: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 25, bias=False), nn.ReLU(), nn.Linear(25, 3, bias=False))
    nn.init.constant_(model[0].weight, scale)
    entries, _, network = network_of(model, torch.ones(1, 4))
    scores = prune.SynFlow.score_entries(entries, network)
    assert (scores.error > 0) is narrow
    expected = prune.SynFlow.scores(copy.deepcopy(model).double(), example_inputs=torch.ones(1, 4))
    for number, values in enumerate(expected.values()):
        got = torch.cat([part.double() * unit for part, unit in scores.parts(range(number, number + 1))])
        assert torch.allclose(got.view_as(values), values.as_subclass(Tensor), rtol=max(scores.error, 1e-12), atol=0)


@pytest.mark.usefixtures("in_small_parts")
def test_the_bracket_is_read_in_the_narrow_type_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network of ordinary weights no iteration falls back to float64."""
    torch.manual_seed(0)
    exact = []
    original = FlowScores.exactly
    monkeypatch.setattr(FlowScores, "exactly", lambda self: (exact.append(1), original(self))[1])
    masks = masks_after(conv_net(), 0.8, 10)
    assert sum(int(mask.sum()) for mask in masks) == round(0.2 * sum(mask.numel() for mask in masks))
    assert len(exact) <= 1


def used(positions: int, greatest: tuple[float, float] = (1.0, 1.0)) -> Use:
    """A use of a weight of two outputs and three inputs."""
    step = Step(nn.functional.linear, (Slot(0), Slot(1)), {}, (2,))
    layer = RecordedLayer(step, {1: torch.Size([2, 3]), 2: torch.Size([positions, 2])})
    return Use(layer, torch.ones(positions, 2).double(), torch.ones(positions, 3).double(), greatest)


def test_the_error_grows_with_the_terms_of_all_uses() -> None:
    error, floor = Measured(torch.ones(2, 3), 1.0, [used(4), used(7)]).error()
    alone, _ = Measured(torch.ones(2, 3), 1.0, [used(11)]).error()
    assert error == alone > Measured(torch.ones(2, 3), 1.0, [used(4)]).error()[0]
    assert 0 < floor < 1e-29


@pytest.mark.parametrize("greatest", [(1e-150, 1e-150), (1e150, 1e150)])
def test_flows_whose_unit_leaves_the_range_are_not_narrowed(greatest: tuple[float, float]) -> None:
    assert Measured(torch.ones(2, 3), 1.0, [used(4, greatest)]).error() == (math.inf, math.inf)
