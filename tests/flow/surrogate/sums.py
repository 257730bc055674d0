"""Networks with a sum between their layers, and balanced sums written out with their factors as constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow import prune

X = torch.ones(1, 4, dtype=torch.float64)


class Net(nn.Module):
    """A linear layer, a function of what it gives and of three more layers, and a last layer."""

    def __init__(self, between: Callable[..., Any]) -> None:
        super().__init__()
        self.first, self.last = (nn.Linear(4, 4, bias=False) for _ in range(2))
        self.a, self.b, self.c = (nn.Linear(4, 4, bias=False) for _ in range(3))
        self.between = between

    def forward(self, x: Tensor) -> Any:
        x = self.first(x)
        return self.last(self.between(x, self.a(x), self.b(x), self.c(x)))


def net(between: Callable[..., Any], seed: int = 0) -> Net:
    torch.manual_seed(seed)
    model = Net(between).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    return model


def joined(*parts: Tensor, dim: int = 1) -> Tensor:
    """The balanced concatenation."""
    sums = [float(part.detach().sum()) for part in parts]
    return torch.cat([part * sum(sums) / len(parts) / s for part, s in zip(parts, sums, strict=True)], dim)


def shared(*branches: Tensor, of: tuple[int, ...] | None = None) -> Tensor:
    """The balanced sum as the method's docstring writes it."""
    sums = [float(b.detach().sum()) for b in branches]
    living = [s > 0 for s in sums]
    numbers = [n * alive for n, alive in zip(of or [1] * len(branches), living, strict=True)]
    terms = [
        b * (n / sum(numbers) * sum(sums) / s)
        for b, n, s, alive in zip(branches, numbers, sums, living, strict=True)
        if alive
    ]
    return torch.stack(torch.broadcast_tensors(*terms)).sum(0)


def scores_of(model: nn.Module, x: Any = X) -> list[Tensor]:
    return [s.as_subclass(Tensor) for s in prune.BalancedSynFlow.scores(model, example_inputs=x).values()]


def plain_scores(model: nn.Module, x: Tensor = X) -> list[Tensor]:
    """By autograd, with the absolute values that the weights are."""
    weights = [getattr(*pair) for pair in prune.prunable_parameters(model)]
    gradients = torch.autograd.grad(sum(out.sum() for out in leaves_of(model(x))), weights, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g * w.detach() for g, w in zip(gradients, weights, strict=True)]


def leaves_of(out: Any) -> list[Tensor]:
    return [out] if isinstance(out, Tensor) else list(out)
