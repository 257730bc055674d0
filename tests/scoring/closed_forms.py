"""A network small enough to write its scores out, and how near they must be."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.cases import SCORED

every_data_method = pytest.mark.parametrize(
    "method", [case.method for case in SCORED if "data" in case.method.needs], ids=lambda method: method.__name__
)


def mlp(*widths: int, bias: bool = True, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width_in, width in pairwise(widths):
        layers += [nn.Linear(width_in, width, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).to(dtype)


def close(ours: dict[Any, Tensor], reference: dict[Any, Tensor], rtol: float = 1e-10) -> None:
    assert ours.keys() == reference.keys()
    for pair, value in reference.items():
        torch.testing.assert_close(
            ours[pair].as_subclass(Tensor), value, rtol=rtol, atol=1e-12 * float(value.abs().max())
        )


def data(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(12, 5, dtype=dtype), torch.arange(12) % 3
