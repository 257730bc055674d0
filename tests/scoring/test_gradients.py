"""Gradients of the mean loss over all data, however it is cut into batches, and losses that have none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.small_net import Net, X, Y, refuses
from torch_synflow import SNIP, GraSP, prune


@pytest.mark.parametrize(
    ("loss_fn", "error", "message"),
    [
        (
            lambda out, y: F.cross_entropy(out, y, reduction="none"),
            ValueError,
            r"expected a scalar, got a tensor of shape \(8,\)",
        ),
        (lambda out, y: F.cross_entropy(out, y).item(), Exception, "item|scalar"),
        (lambda out, y: 0.5, TypeError, "expected a scalar tensor, got float"),
        (
            lambda out, y: F.cross_entropy(out.detach(), y),
            ValueError,
            "expected a loss that depends on the model's outputs",
        ),
        (
            lambda out, y: (out.argmax(1) != y).float().mean(),
            ValueError,
            "expected a loss that depends on the model's outputs",
        ),
        (torch.no_grad()(F.cross_entropy), ValueError, "expected a loss that depends on the model's outputs"),
    ],
)
def test_losses_that_have_no_gradient(loss_fn: Any, error: type[Exception], message: str) -> None:
    for method in (SNIP, GraSP):
        model = Net()
        refuses(
            error,
            message,
            model,
            lambda m=method, model=model: prune.global_iterative_unstructured(
                model, m, 0.5, data=(X, Y), loss_fn=loss_fn
            ),
        )
