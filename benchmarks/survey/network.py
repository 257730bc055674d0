"""A network of the survey: how to build it, and what it is called and trained with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow.prune import Outputs


@dataclass(frozen=True)
class SurveyedNetwork:
    """One network.

    Attributes:
        library: where it is from.
        family: what it is an example of.
        name: of the network in its library.
        build: makes it, as it is initialised.
        inputs: makes what it is called with, for so many examples.
        outputs: which of its outputs count in R.
        data: makes a batch for SNIP and GraSP, of two of ``inputs`` by default.
        loss_fn: the loss of such a batch.
    """

    library: str
    family: str
    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[int], Any]
    outputs: Outputs | None = None
    data: Callable[[], Any] | None = None
    loss_fn: Callable[[Any, Any], Tensor] = field(default_factory=lambda: mean_square)

    @property
    def key(self) -> str:
        """What it is called in the table."""
        return f"{self.library}/{self.name}"


def first_floating(outputs: Any) -> Tensor:
    """The first floating-point tensor of what a model returned, which its loss is made of here."""
    if isinstance(outputs, Tensor):
        return outputs
    values = outputs.values() if hasattr(outputs, "values") else outputs
    return next(first_floating(v) for v in values if isinstance(v, (Tensor, tuple, list, dict)))


def mean_square(outputs: Any, targets: Any) -> Tensor:
    """A loss that any network has: the mean square of its first output, around random targets."""
    value = first_floating(outputs)
    generator = torch.Generator().manual_seed(0)
    return (value - torch.rand(value.shape, generator=generator, dtype=torch.float32).to(value)).square().mean()


def images(size: int, channels: int = 3) -> Callable[[int], Tensor]:
    """Random images."""
    return lambda count: torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(1))
