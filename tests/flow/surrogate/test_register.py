"""Surrogates of a user's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tests.flow.flows import Of, agrees, around
from tests.flow.networks import Doubled
from torch_synflow import flow
from torch_synflow.flow.surrogate.operations import REGISTERED


@pytest.fixture
def registry() -> Iterator[None]:
    before = dict(REGISTERED)
    yield
    REGISTERED.clear()
    REGISTERED.update(before)


@pytest.mark.usefixtures("registry")
def test_register_as_a_call_and_as_a_decorator() -> None:
    flow.register(torch.cos, lambda x: torch.relu(x))
    agrees(around(Of(torch.cos)), lambda x: x)

    @flow.register(Doubled)
    def read(x: Tensor) -> Tensor:
        return 2 * x

    agrees(around(Of(lambda x: Doubled.apply(x))), lambda x: 2 * x)
    assert read(1) == 2
    flow.register(torch.Tensor.sigmoid)(lambda x: 3 * x)  # over the surrogate that there is
    agrees(around(Of(lambda x: x.sigmoid())), lambda x: 3 * x)


def test_register_refuses_what_can_not_be_called() -> None:
    with pytest.raises(
        TypeError, match=r"operation: expected an operation of the model, such as torch.special.erf, got"
    ):
        flow.register("erf", torch.relu)
    with pytest.raises(TypeError, match=r"surrogate: expected a function"):
        flow.register(torch.erf, 3)
