"""Operations that move and sum are as they are, and so is what has no surrogate and does no harm."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.flow.flows import Of, X, agrees, around
from torch_synflow import prune


def test_moves_and_sums_are_as_they_are() -> None:
    agrees(
        around(Of(lambda x: torch.cat([x[:, :4].view(1, 2, 2).transpose(1, 2).flatten(1), x[:, 4:] + x[:, :4]], 1))),
        lambda x: torch.cat([x[:, :4].view(1, 2, 2).transpose(1, 2).flatten(1), x[:, 4:] + x[:, :4]], 1),
    )


def test_writing_into_parts() -> None:
    def write(x: Tensor) -> Tensor:
        out = torch.zeros(1, 8, dtype=x.dtype)
        out[:, :4] = x[:, 4:]
        y = x.clone()
        y[:, 2:6] = 2 * x[:, :4]
        return out + y

    agrees(
        around(Of(write)),
        lambda x: torch.cat([x[:, 4:], 0 * x[:, 4:]], 1) + torch.cat([x[:, :2], 2 * x[:, :4], x[:, 6:]], 1),
    )


def test_an_unknown_operation_that_does_no_harm_is_passed_through_and_named_once() -> None:
    with pytest.warns(UserWarning, match=r"SynFlow: without a homogeneous surrogate, so run unchanged: sinh;") as said:
        agrees(around(Of(lambda x: torch.sinh(torch.sinh(x)))), lambda x: torch.sinh(torch.sinh(x)))
    assert len(said) == 1


def test_each_operation_without_a_surrogate_is_named() -> None:
    model = around(Of(lambda x: torch.sinh(x) + torch.cosh(x) + x.detach().sum() + x.sum().to(torch.float32)))
    with pytest.warns(UserWarning, match="run unchanged: sinh, cosh;"):
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=X)
