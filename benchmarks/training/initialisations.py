"""Initialisations: the weights, biases and BatchNorms that each paper's authors draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

_Draw = Callable[[Tensor], object]
_fan_in: _Draw = partial(nn.init.kaiming_normal_, nonlinearity="relu")
_fan_out: _Draw = partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu")
#: what draws the weights of convolutions and those of linear layers; ``None`` leaves them, and their biases, as torch
#: has them. Which paper has which is with its recipes.
INITIALISATIONS: dict[str, tuple[_Draw, _Draw | None] | None] = {
    "fan_in": (_fan_in, _fan_in),
    "fan_out": (_fan_out, _fan_out),
    "fan_out_convolutions": (_fan_out, None),
    "fan_out_small_linear": (_fan_out, partial(nn.init.normal_, std=0.01)),
    "xavier": (nn.init.xavier_normal_, nn.init.xavier_normal_),
    "variance_one": (nn.init.normal_, nn.init.normal_),  # Frankle et al. 2021, section 5
    "own": None,  # all as the modules have it
}


def initialise(model: nn.Module, *, mode: str = "fan_in", uniform_gamma: bool = False) -> nn.Module:
    """Draw weights by one of ``INITIALISATIONS``, zero biases, set BatchNorm's gamma to one or uniform in (0, 1)."""
    draws = INITIALISATIONS[mode]
    if draws is None:
        return model
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            draw = draws[isinstance(module, nn.Linear)]
            if draw is not None:
                draw(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            if uniform_gamma:
                nn.init.uniform_(module.weight)
            else:
                nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    return model
