"""Sums of a flow and a constant: biases, which start flow, and masks, which block elements."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.flow.flows import Of, agrees, around, without_biases
from tests.flow.surrogate.test_exponents import scaled_scores, up_to_a_factor
from torch_synflow import prune

BLOCKS = torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
OPEN = (BLOCKS == 0).double()

MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "added": lambda x: x + -1e9 * BLOCKS.to(x),
    "added before": lambda x: -1e9 * BLOCKS.to(x) + x,
    "subtracted": lambda x: x - 1e9 * BLOCKS.to(x),
    "subtracted twice": lambda x: torch.sub(x, 1e9 * BLOCKS.to(x), alpha=2),
    "added in place": lambda x: (x.add_(-1e9 * BLOCKS.to(x)), x)[1],
}


@pytest.mark.parametrize("form", MASKS)
def test_a_mask_that_is_added_or_subtracted_blocks_elements(form: str) -> None:
    agrees(around(Of(MASKS[form])), lambda x: x * OPEN.to(x))


def test_the_mean_of_an_input_that_is_subtracted_is_no_mask() -> None:
    agrees(around(Of(lambda x: x - torch.full((8,), 123.0).to(x))), lambda x: x + 123.0)


@pytest.mark.parametrize("form", MASKS)
def test_powers_of_two_block_the_same_elements(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = around(Of(MASKS[form]))
    found = scaled_scores(monkeypatch, model, torch.ones(1, 6))
    assert not any(found[model[0], "weight"][BLOCKS == 1].flatten())
    up_to_a_factor(found, prune.synflow_scores(model, torch.ones(1, 6)))


def vanishing(offset: Any) -> nn.Sequential:
    """A network whose flow needs powers of two before and after an offset, of a size between them."""
    small = Of(lambda x: x * 1e-200)
    layers = [nn.Linear(6, 8), small, Of(lambda x: x * 1e150), Of(offset), nn.Linear(8, 8), small, small]
    return without_biases(nn.Sequential(*layers, nn.Linear(8, 3)))


@pytest.mark.parametrize("sign", [1, -1])
def test_an_offset_of_a_flow_with_powers_of_two_is_recorded_whatever_its_sign(
    sign: int, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    x = torch.ones(1, 6)
    constant = torch.full((8,), sign * 1e-60)
    model = vanishing(lambda x: x + constant.to(x))
    with caplog.at_level(logging.INFO, "torch_synflow"):
        scores = prune.synflow_scores(model, x)
    assert "own code in each iteration" not in caplog.text
    # the last layers' flow comes from the flow of the first, 1e-50; the offset is negligible
    assert float(scores[model[0], "weight"].sum()) == pytest.approx(float(scores[model[7], "weight"].sum()), rel=1e-9)
