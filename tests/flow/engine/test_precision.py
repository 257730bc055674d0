"""Scores computed in the precision of the weights first: masks are those of float64 all the same."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.flow.engine.narrow import X, conv_net, network_of
from torch_synflow import prune
from torch_synflow.flow.engine.contributions import FlowScores
from torch_synflow.selection import threshold


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


def masks_after(model: nn.Module, amount: float, iterations: int, *, x: Tensor = X) -> list[Tensor]:
    model = copy.deepcopy(model)
    prune.global_iterative_unstructured(model, prune.SynFlow, amount, example_inputs=x, iterations=iterations)
    return [module.weight_mask for module in model.modules() if hasattr(module, "weight_mask")]


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
    with pytest.warns(UserWarning, match="treated as ones"):
        expected = masks_after(model, 0.8, 8)

    def wrong(group: Any, keep: int, deviations: float) -> tuple[float, float]:
        return float(group.scores.at(group.alive.nonzero().squeeze(1)).quantile(share)), float("inf")

    monkeypatch.setattr(threshold, "_bracket", wrong)
    with pytest.warns(UserWarning, match="treated as ones"):
        found = masks_after(model, 0.8, 8)
    for mask, other in zip(found, expected, strict=True):
        assert torch.equal(mask, other)


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
