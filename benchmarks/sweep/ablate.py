"""Changes to a pruned network before it is trained: shuffled masks, or new weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.sweep.start import new_network
from benchmarks.sweep.trial import Trial
from torch_synflow import ablations, rewinding


def ablate(model: nn.Module, trial: Trial, inputs: Tensor, generator: torch.Generator) -> None:
    """Ablate a pruned network as the trial says; inverted scores are not handled here."""
    if trial.ablation == "reinitialise":
        other = new_network(replace(trial, seed=trial.seed + 1_000_003)).to(inputs.device)
        rewinding.rewind(model, rewinding.take_snapshot(other))
    elif trial.ablation == "shuffle_effective":
        ablations.shuffle_effective_masks(model, inputs, generator=generator)
    elif trial.ablation.startswith("shuffle"):
        within: Any = trial.ablation.partition("_")[2] or "layer"
        ablations.shuffle_masks(model, within=within, generator=generator)
