"""Chains of layers whose neurons, scales and layouts can be changed without changing what they compute."""

from __future__ import annotations

import copy
import random
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import prune

LOGITS = 3
Pair = tuple[nn.Module, str]


class Chain:
    """A network of layers one after the other, in float64, with its data.

    Attributes:
        model: the network.
        layers: its linear or convolutional layers.

    Args:
        draw: from which it is drawn.
        norms: whether it may have BatchNorm.
        dead: whether it may have ReLU, so that scores can be zero.
    """

    def __init__(self, draw: random.Random, *, norms: bool = True, dead: bool = True) -> None:
        torch.manual_seed(draw.getrandbits(30))
        self.images = draw.random() < 0.5
        widths = [3, *(draw.randint(4, 8) for _ in range(draw.randint(1, 3)))]
        modules: list[nn.Module] = []
        for before, after in pairwise(widths):
            bias = draw.random() < 0.5
            modules.append(
                nn.Conv2d(before, after, 3, 1, 1, bias=bias) if self.images else nn.Linear(before, after, bias)
            )
            if norms and draw.random() < 0.5:
                modules.append(nn.BatchNorm2d(after) if self.images else nn.BatchNorm1d(after))
            modules.append(nn.ReLU() if dead and draw.random() < 0.5 else nn.LeakyReLU(0.1))
        pooled: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if self.images else []
        self.model = nn.Sequential(*modules, *pooled, nn.Linear(widths[-1], LOGITS)).double()
        shape = (12, 3, 5, 5) if self.images else (12, 3)
        self.inputs, self.targets = torch.randn(shape, dtype=torch.float64), torch.arange(12) % LOGITS

    def arguments(self, method: type[prune.SaliencyUnstructured]) -> dict[str, Any]:
        """The arguments that the method needs for scoring."""
        if issubclass(method, prune.SynFlow):
            return {"example_inputs": self.inputs}
        return {"data": (self.inputs, self.targets), "loss_fn": F.cross_entropy}

    def copied(self) -> Chain:
        """A copy with the same values."""
        return copy.deepcopy(self)

    @property
    def layers(self) -> list[Any]:
        """The layers with a weight, from input to output."""
        return [module for module in self.model if isinstance(module, (nn.Linear, nn.Conv2d))]

    def scores(self, method: type[prune.SaliencyUnstructured]) -> list[Tensor]:
        """The scores of the layers, in order."""
        found = method.scores(self.model, **self.arguments(method))
        return [found[layer, "weight"].as_subclass(Tensor) for layer in self.layers]

    def masks(
        self, method: type[Any], amount: float, parameters: list[Pair] | None = None, iterations: int = 2
    ) -> list[Tensor]:
        """The masks of the layers after pruning."""
        pairs = [(layer, "weight") for layer in self.layers] if parameters is None else parameters
        prune.global_iterative_unstructured(
            pairs, method, amount, model=self.model, iterations=iterations, **self.arguments(method)
        )
        return [layer.weight_mask for layer in self.layers]
