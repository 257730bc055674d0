"""Pruned models, and what must be the same of them afterwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.small_net import Net
from torch_synflow import prune


def pruned(amount: float = 0.6) -> Net:
    """A network of two linear layers and a BatchNorm, pruned by magnitude."""
    model = Net()
    prune.global_iterative_unstructured(model, prune.L1Unstructured, amount)
    return model


class TiedNet(nn.Module):
    """A head that is the embedding, and parameters of its own at the root."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale = nn.Parameter(torch.randn(6, 6))
        self.embed = nn.Embedding(11, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embed(tokens) @ self.scale)


TOKENS = torch.arange(6).view(2, 3)


def pruned_tied() -> TiedNet:
    """With a mask on all of it, the root's own parameter too."""
    model = TiedNet()
    pairs = [(model.head, "weight"), (model, "scale")]
    prune.global_iterative_unstructured(pairs, prune.L1Unstructured, 0.5, model=model)
    return model
