"""Chains of linear layers, and the masks of ``keep_layers`` by definition."""

from __future__ import annotations

import itertools
import math

import torch
from torch import nn

from torch_synflow import prune


def chain(widths: list[int], seed: int, *, bias: bool = False) -> nn.Sequential:
    torch.manual_seed(seed)
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        modules += [nn.Linear(before, after, bias=bias), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


class Forked(nn.Module):
    """Layers that need more weights than one each: four read a channel each, and lead to one output.

    The first layer's greatest score is that of the channel of three of them, the second layer's that of the fourth.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (nn.Linear(*widths, bias=False) for widths in ((1, 2), (2, 4), (4, 1)))
        self.readers = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(4))
        for weight in self.parameters():
            nn.init.ones_(weight)
        with torch.no_grad():
            self.second.weight[0] = 2.0
        prune.custom_from_mask(self.second, "weight", torch.tensor([[0, 1], [1, 0], [1, 0], [1, 0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = self.second(self.first(x)).chunk(4, 1)
        return self.last(torch.cat([read(one) for read, one in zip(self.readers, channels, strict=True)], 1))


def by_definition(model: nn.Sequential, x: torch.Tensor, keeps: list[int]) -> list[torch.Tensor]:
    """Masks of a dense float64 network, by sorting; what would cut a layer off is taken back and halved."""
    linear = list(model[::2])
    weights = [layer.weight.detach().double().abs() for layer in linear]
    sizes = [weight.numel() for weight in weights]

    def scores_of(kept: torch.Tensor) -> torch.Tensor:
        masks = [m.view_as(w) for m, w in zip(kept.split(sizes), weights, strict=True)]
        living = [(w * mask).requires_grad_() for w, mask in zip(weights, masks, strict=True)]
        flow = x.double()
        for weight, layer in zip(living, linear, strict=True):
            bias = 0 if layer.bias is None else layer.bias.detach().double().abs()
            flow = flow @ weight.T + bias
        gradients = torch.autograd.grad(flow.sum(), living)
        return torch.cat([(g * w).detach().reshape(-1) for g, w in zip(gradients, living, strict=True)])

    kept, staying = torch.ones(sum(sizes), dtype=torch.bool), torch.zeros(sum(sizes), dtype=torch.bool)
    for keep in keeps:
        step = int(kept.sum()) - keep
        while (alive := int(kept.sum())) > keep:
            step = min(step, alive - keep)
            for now, fixed in zip(kept.split(sizes), staying.split(sizes), strict=True):
                if int(now.sum()) == 1:  # the last of a layer stays
                    fixed |= now
            places = kept.nonzero().squeeze(1)
            ranked = scores_of(kept).masked_fill(staying, math.inf)[places]
            order = ranked.sort(descending=True, stable=True).indices
            trial = kept.clone()
            trial[places[order[alive - step :]]] = False
            if all(float(part.sum()) > 0 for part in scores_of(trial).split(sizes)):
                kept, step = trial, 2 * step
            elif step == 1:
                staying |= kept & ~trial
            else:
                step //= 2
    return [m.view_as(w) for m, w in zip(kept.split(sizes), weights, strict=True)]
