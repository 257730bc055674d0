"""The SynFlow authors' code, of a checkout of github.com/ganguli-lab/Synaptic-Flow, and how alike two masks are."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from benchmarks.speed.iterations import finished, inputs_of
from torch_synflow import prune
from torch_synflow.budget.counts import kept_counts


def authors(checkout: Path, model: nn.Module, method: str) -> Any:
    """The authors' pruner called ``method`` for a network, its masks attached by ``prune.identity``."""
    spec = importlib.util.spec_from_file_location("pruners", checkout / "Pruners" / "pruners.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"--peer: expected a checkout with Pruners/pruners.py, got {checkout}")
    pruners = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pruners)
    modules = [module for module, _ in prune.prunable_parameters(model)]
    for module in modules:
        torch_prune.identity(module, "weight")
    return getattr(pruners, method)([(module.weight_mask, module.weight_orig) for module in modules])


def peer(checkout: Path, model: nn.Module, shape: tuple[int, ...], density: float, iterations: int) -> float:
    """Seconds of the authors' SynFlow on the same network."""
    pruner = authors(checkout, model.eval(), "SynFlow")
    x = inputs_of(model, shape)
    start = finished(model)
    for step in range(1, iterations + 1):
        pruner.score(model, None, [(x, None)], x.device)
        pruner.mask(density ** (step / iterations), "global")
    return finished(model) - start


def peer_of_equal_counts(
    checkout: Path, model: nn.Module, shape: tuple[int, ...], density: float, iterations: int
) -> None:
    """The authors' SynFlow in float64, told to remove as many entries as ours does.

    They floor the number to remove, and SynFlow's masks after many iterations differ by percents if one entry
    more or less goes at the first, or when rounding in float32 exchanges two: only so can masks be compared.
    """
    pruner = authors(checkout, model.double().eval(), "SynFlow")
    total, x = kept(model).numel(), inputs_of(model, shape)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # of the ones that their code makes
    try:
        for keep in kept_counts(prune.exponential, iterations, total, total - round((1 - density) * total)):
            pruner.score(model, None, [(x, None)], x.device)
            pruner.mask((keep - 0.5) / total, "global")
    finally:
        torch.set_default_dtype(usual)


def overlap(first: nn.Module, second: nn.Module) -> float:
    """Intersection over union of what two networks keep."""
    return float((kept(first) & kept(second)).sum() / (kept(first) | kept(second)).sum())


def kept(model: nn.Module) -> Tensor:
    """The mask of the whole network, flat."""
    return torch.cat([getattr(m, f"{name}_mask").reshape(-1) > 0 for m, name in prune.prunable_parameters(model)])
