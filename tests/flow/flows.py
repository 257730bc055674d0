"""How much flows through the layers of a network, and an operation between two layers to compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import prune

Totals = dict[str, float]
X = torch.ones(1, 6)
IMAGE = torch.ones(1, 3, 8, 8)


def totals(model: nn.Module, x: Any = X, *, exclude: Any = ()) -> Totals:
    """The sum of the scores of each prunable weight; all are checked to be positive and finite."""
    parameters = prune.prunable_parameters(model, exclude=exclude)
    names = {module: name for name, module in model.named_modules()}
    found = {}
    for (module, name), score in prune.synflow_scores(model, x, parameters).items():
        assert torch.isfinite(score).all()
        assert torch.equal(score > 0, getattr(module, name) != 0), names[module]
        found[names[module]] = float(score.sum())
    return found


def without_biases(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name.rpartition(".")[2]:
                parameter.zero_()
    return model


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def around(middle: nn.Module) -> nn.Sequential:
    """Two linear layers around ``middle``."""
    return nn.Sequential(nn.Linear(6, 8), middle, nn.Linear(8, 3))


def agrees(model: nn.Sequential, counterpart: Callable[[Tensor], Tensor]) -> None:
    """The scores of ``around(...)`` are those of the same layers, positive, around ``counterpart``."""
    first, last = (
        [p.detach().double().abs().requires_grad_() for p in layer.parameters()] for layer in (model[0], model[2])
    )
    hidden = counterpart(F.linear(X.double(), *first))
    R = F.linear(hidden, *last).sum()  # noqa: N806
    expected = [w * g for w, g in zip((first[0], last[0]), torch.autograd.grad(R, (first[0], last[0])), strict=True)]
    scores = prune.synflow_scores(model, X)
    for layer, value in zip((model[0], model[2]), expected, strict=True):
        torch.testing.assert_close(scores[layer, "weight"].as_subclass(Tensor), value.detach(), rtol=1e-12, atol=0)
