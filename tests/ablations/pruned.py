"""Pruned models, a generator, and the ablations as a table."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from tests.cases import ModelCase
from tests.masks import places
from torch_synflow import ablations, prune


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pruned(case: ModelCase, amount: float = 0.5) -> nn.Module:
    model = case.build()
    prune.global_iterative_unstructured(prune.prunable_parameters(model), prune.L1Unstructured, amount)
    return model


def up_to_date(model: nn.Module) -> bool:
    """Whether ``module.name`` is the product of what it is computed from, without a graph."""
    return all(
        torch.equal(getattr(m, n), getattr(m, f"{n}_orig") * getattr(m, f"{n}_mask")) and getattr(m, n).grad_fn is None
        for m, n in places(model)
        if hasattr(m, f"{n}_mask")
    )


ABLATIONS: dict[str, Callable[[nn.Module, torch.Generator], None]] = {
    "shuffle_masks": lambda model, g: ablations.shuffle_masks(model, generator=g),
    "shuffle_within_neurons": lambda model, g: ablations.shuffle_masks(model, within="neuron", generator=g),
    "shuffle_within_inputs": lambda model, g: ablations.shuffle_masks(model, within="input", generator=g),
    "reinitialise": lambda model, g: ablations.reinitialise(model, generator=g),
    "reinitialise_by_a_function": lambda model, g: ablations.reinitialise(
        model, init=nn.init.xavier_normal_, generator=g
    ),
    "initialise_with_unit_variance": lambda model, g: ablations.initialise_with_unit_variance(model, generator=g),
}
