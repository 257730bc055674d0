"""What the theory page says of the share of each branch of a sum, whatever has been pruned in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from torch import Tensor, nn

from tests.flow.surrogate.sums import shared
from tests.methods.branched import INPUT, Branched, Drawn, networks
from torch_synflow import prune

pytestmark = pytest.mark.filterwarnings("ignore:.*SynFlow. on no path:UserWarning")
some = settings(deadline=None, max_examples=40, derandomize=True)


def totals(model: nn.Module, method: Any = prune.BalancedSynFlow) -> dict[str, float]:
    """The score of each layer."""
    names = {module: name for name, module in model.named_modules()}
    scores = method.scores(model, example_inputs=INPUT)
    return {names[module]: float(score.sum()) for (module, _), score in scores.items()}


def living(model: Branched) -> list[bool]:
    """Whether each branch, the shortcut included, carries flow."""
    return [bool(part.any()) for part in model.parts(INPUT)]


def layers_with_flow(model: Branched) -> Iterator[list[str]]:
    """The layers of each branch that carries flow."""
    for number, (branch, alive) in enumerate(zip(model.branches, living(model), strict=False)):
        if alive:
            yield [f"branches.{number}.{name}" for name, layer in branch.named_children() if hasattr(layer, "weight")]


@some
@given(network=networks(bias=False))
def test_each_layer_of_a_branch_has_its_share_of_r_if_all_elements_are_read_alike(network: Drawn) -> None:
    model = network.build()
    assume(any(living(model)))
    for layer in model.last[::2]:
        nn.init.ones_(layer.weight)
    found = totals(model)
    for layers in layers_with_flow(model):
        for name in layers:
            assert found[name] == pytest.approx(found["last.2"] / sum(living(model)), rel=1e-11)


def flow_and_least(model: Branched) -> tuple[float, float]:
    """The flow through the sum, and the least part of it that the page states; leaves the gradients of biases."""
    y = shared(*model.parts(INPUT))
    y.retain_grad()
    model.last(y).sum().backward()
    flow, gradients = float((y.grad * y.detach()).sum()), y.grad[y > 0]
    return flow, flow / sum(living(model)) * float(gradients.min() / gradients.max())


@some
@given(network=networks(bias=True))
def test_each_layer_of_a_branch_has_at_least_the_part_that_the_page_states(network: Drawn) -> None:
    """Its weights, with the biases that follow them in the branch."""
    model = network.build()
    assume(any(living(model)))
    found, (flow, least) = totals(model), flow_and_least(model)
    assert found["last.0"] == pytest.approx(flow, rel=1e-11)
    for layers in layers_with_flow(model):
        of_biases = 0.0
        for name in reversed(layers):
            bias: Tensor | None = model.get_submodule(name).bias
            of_biases += 0.0 if bias is None else float((bias.grad * bias.detach()).sum())
            assert found[name] + of_biases >= least * (1 - 1e-11)


def narrow() -> Branched:
    """A shortcut, and a branch that is nearly empty."""
    model = Drawn(((3,),), kernel=1, bias=True, shortcut=True, density=1.0, seed=0).build()
    with torch.no_grad():
        for parameter in model.branches.parameters():
            parameter.mul_(1e-6)
    return model


def test_synflow_gives_a_branch_less() -> None:
    """So that the test above tests something."""
    model = narrow()
    for layer in model.branches[0][::2]:
        layer.bias = None
    _, least = flow_and_least(model)
    assert totals(model)["branches.0.0"] >= least
    assert totals(model, prune.SynFlow)["branches.0.0"] < least / 1e6


def test_without_the_biases_that_follow_it_a_layer_may_have_less() -> None:
    model = narrow()
    _, least = flow_and_least(model)
    assert totals(model)["branches.0.0"] < least / 1e3
