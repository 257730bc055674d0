"""The start of a trial: a network at initialisation, the images, and the unpruned network at an epoch."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from benchmarks.sweep.trial import Trial
from benchmarks.training.datasets import Source, load
from benchmarks.training.images import Images
from benchmarks.training.initialisations import initialise
from benchmarks.training.kinds import KINDS
from benchmarks.training.loop import train
from benchmarks.training.networks import NETWORKS
from benchmarks.training.recipes import Recipe
from torch_synflow import rewinding


def new_network(trial: Trial) -> nn.Module:
    """The network at initialisation, decided by the seed and the recipe alone."""
    kind = KINDS[trial.dataset]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(trial.seed)
        model = NETWORKS[trial.network](kind.classes, kind.channels, kind.size)
        return initialise(model, mode=trial.recipe.initialisation, uniform_gamma=trial.recipe.gamma == "uniform")


@lru_cache(maxsize=2)
def on_device(dataset: str, source: Source, device: torch.device) -> tuple[Images, Images]:
    """The data on the device, loaded once per process."""
    train_images, test_images = load(dataset, source)
    return train_images.to(device), test_images.to(device)


def dense_states(trial: Trial, source: Source, device: torch.device) -> dict[float, rewinding.TrainingSnapshot]:
    """The unpruned network at the epochs of a trial, remembered for the trials that start from the same."""
    epochs = tuple(sorted({0.0, trial.prune_epoch, trial.rewind_epoch or 0.0}))
    return _dense_states(trial.dataset, trial.network, trial.recipe, trial.seed, source, device, epochs)


@lru_cache(maxsize=4)
def _dense_states(
    dataset: str,
    network: str,
    recipe: Recipe,
    seed: int,
    source: Source,
    device: torch.device,
    epochs: tuple[float, ...],
) -> dict[float, rewinding.TrainingSnapshot]:
    trial = Trial(measure="accuracy", dataset=dataset, network=network, recipe=recipe, seed=seed)
    model = new_network(trial).to(device)
    images, _ = on_device(dataset, source, device)
    states = {0.0: rewinding.take_snapshot(model)}
    *between, last = epochs
    for at in between[-1:]:

        def note(model: nn.Module, at: float = at) -> None:
            states[at] = rewinding.take_snapshot(model)

        train(model, images, recipe, seed * 1000 + 1, until=last, at=at, then=note)
    states[last] = rewinding.take_snapshot(model)
    return states


def batches_of(
    batch: tuple[Tensor, Tensor], generator: torch.Generator, most: int = 256
) -> list[tuple[Tensor, Tensor]]:
    """One batch in parts that fit into memory: of 256 images at 32x32, fewer if they are larger.

    What is cut is shuffled first, as batches come ordered by class: BatchNorm in training mode sees one part at a time.
    """
    inputs, targets = batch
    count = max(1, min(len(inputs), most * 32 * 32 // inputs.shape[-1] ** 2 if inputs.shape[-1] > 32 else 1000))
    if count < len(inputs):
        order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
        inputs, targets = inputs[order], targets[order]
    return list(zip(inputs.split(count), targets.split(count), strict=True))
