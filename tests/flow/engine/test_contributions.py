"""The error of scores in the precision of the weights is bounded, for layers and weights of any shape and size."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.flow.engine.narrow import network_of, used
from torch_synflow import prune
from torch_synflow.flow.engine.contributions import Measured, Use
from torch_synflow.selection import threshold


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


def test_the_error_grows_with_the_terms_of_all_uses() -> None:
    error, floor = Measured(torch.ones(2, 3), 1.0, [used(4), used(7)]).error()
    alone, _ = Measured(torch.ones(2, 3), 1.0, [used(11)]).error()
    assert error == alone > Measured(torch.ones(2, 3), 1.0, [used(4)]).error()[0]
    assert 0 < floor < 1e-29


@pytest.mark.parametrize("greatest", [(1e-150, 1e-150), (1e150, 1e150)])
def test_flows_whose_unit_leaves_the_range_are_not_narrowed(greatest: tuple[float, float]) -> None:
    assert Measured(torch.ones(2, 3), 1.0, [used(4, greatest)]).error() == (math.inf, math.inf)
