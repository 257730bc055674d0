"""A small network with its data, and calls that are refused and leave it as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

X = torch.linspace(-1, 1, 40).view(8, 5)
Y = torch.arange(8) % 3
BATCH = {"data": (X, Y), "loss_fn": F.cross_entropy}


class Net(nn.Sequential):
    """Linear, BatchNorm, ReLU, Linear: seeded, so that two of them are the same."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3))


def state(model: nn.Module) -> list[Any]:
    """Everything that an error must leave alone, comparable with ``==``."""
    found: list[Any] = [torch.get_rng_state().tolist()]
    for name, module in model.named_modules():
        found.append((name, id(module), module.training, sorted(module.__dict__)))
        found.append({k: list(v) for k, v in module.__dict__.items() if k.endswith("hooks")})
        for key, value in [*module._parameters.items(), *module._buffers.items(), *module.__dict__.items()]:
            if isinstance(value, Tensor) and not value.is_meta and not nn.parameter.is_lazy(value):
                grad = None if value.grad_fn is not None or value.grad is None else value.grad.tolist()
                bits = (
                    value.detach().contiguous().view(-1).clone().view(torch.uint8).tolist()
                    if value.dim()
                    else value.tolist()
                )
                found.append((key, id(value), bits, value.requires_grad, grad))
    return found


def refuses(error: type[Exception], message: str, model: nn.Module, call: Callable[[], object]) -> None:
    """``call`` raises ``error`` with a message of that pattern, and ``model`` is as it was."""
    before = state(model)
    with pytest.raises(error, match=message):
        call()
    assert state(model) == before


def weights(model: nn.Module) -> list[tuple[nn.Module, str]]:
    return [(m, "weight") for m in model.modules() if isinstance(m, nn.Linear)]


def kept(model: nn.Module) -> int:
    return sum(int(m.weight_mask.sum()) for m in model.modules() if hasattr(m, "weight_mask"))
