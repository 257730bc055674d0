"""What must not change a result changes none, and a method that depends on it is found."""

from __future__ import annotations

import random
from typing import Any

import pytest
from torch import Tensor

from benchmarks.faults import chains, invariants
from tests.benchmarks.faults.losses import nothing_lost
from torch_synflow import prune
from torch_synflow.scoring import Network


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_the_invariants_hold(first: int) -> None:
    nothing_lost([invariants.hold(seed) for seed in range(first, first + 20)], "invariants")


@pytest.mark.slow
def test_the_invariants_hold_a_thousand_times() -> None:
    seed = random.SystemRandom().randrange(10**9)
    nothing_lost([invariants.hold(seed + number) for number in range(1000)], "invariants")


class ByPlace(prune.SNIP):
    """A score that depends on where a weight is."""

    @classmethod
    def saliency(cls, network: Network) -> dict[str, Any]:
        return {
            name: score + weight.new_ones(weight.numel()).cumsum(0).view_as(weight)
            for (name, score), weight in zip(super().saliency(network).items(), network.weights.values(), strict=True)
        }


class BySize(prune.SNIP):
    """A score that depends on the scale of a layer."""

    @classmethod
    def saliency(cls, network: Network) -> dict[str, Any]:
        return {name: weight.abs() for name, weight in network.weights.items()}


@pytest.mark.parametrize(
    ("invariant", "method"), [(invariants.permutation, ByPlace), (invariants.scaling, BySize)], ids=["place", "size"]
)
def test_a_method_without_the_invariant_is_found(
    invariant: Any, method: type[prune.SNIP], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("METHODS", "SCALE_FREE"):
        monkeypatch.setattr(invariants, name, (method,))
    found = [invariant(random.Random(seed))[1] for seed in range(4)]
    assert any(found)


def test_masks_that_depend_on_threads_layout_or_order_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1000))
    masks = chains.Chain.masks

    def rolled(self: chains.Chain, *arguments: Any, **keywords: Any) -> list[Tensor]:
        shift = next(calls)
        return [mask.roll(shift) for mask in masks(self, *arguments, **keywords)]

    monkeypatch.setattr(chains.Chain, "masks", rolled)
    for invariant in (invariants.threads, invariants.layout, invariants.order_of_parameters):
        assert any(invariant(random.Random(seed))[1] for seed in range(4))
