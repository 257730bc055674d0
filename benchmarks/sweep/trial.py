"""A trial: all the settings that determine a result, and the name that follows from them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from benchmarks.training.networks import FULLY_CONNECTED, WITHOUT_BATCHNORM
from benchmarks.training.recipes import Recipe

#: what a trial can measure
MEASURES = {
    "accuracy": "prune, train, test",
    "masks": "prune; what is left of each layer and neuron",
    "cuts": "prune; in each iteration, the scores of what is pruned over those of a whole layer",
    "structure": "prune; what of it a path uses, what it costs and how much flows",
    "scores": "score the unpruned network",
    "limit": "the critical compression",
    "magnitudes": "train; the mean square of each layer's weights before and after",
}
#: fields of ``Recipe`` that came later: at their defaults they are left out, so that trials keep their names
_LATER_FIELDS = ("optimizer", "schedule", "warmup", "shrink")
#: the same of ``Trial``, with the default
_LATER_SETTINGS = {"pruning_schedule": "exponential"}
#: what can be done to a pruned network or to its scores
ABLATIONS = (
    "none", "shuffle", "reinitialise", "invert", "shuffle_neuron", "shuffle_input", "shuffle_kernel",
    "shuffle_effective",
)  # fmt: skip
VERSION = 1  # rises when the same settings give another result; older results are then run again


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The settings of a trial. Equal settings have equal names, and on the same device equal results.

    Attributes:
        measure: one of ``MEASURES``.
        dataset, network: names of ``kinds.KINDS`` and ``networks.NETWORKS``.
        recipe: initialisation and training.
        seed: of the weights, the examples for scoring, the order of the images and the ablation.
        method: one of ``methods.METHODS``.
        density: kept / total.
        iterations: rounds of scoring and pruning.
        examples: of each class, for scoring; 0 for methods that need no data.
        ablation: one of ``ABLATIONS``: of shuffles within layers, neurons, input channels or kernels, or on paths.
        prune_epoch: epochs of training before the network is pruned; the whole schedule follows.
        rewind_epoch: the epoch from which the weights are taken after pruning; ``None``: they stay.
        levels: how many times to train, prune and rewind.
        pruning_schedule: "exponential" or "linear", of the densities after the iterations.
    """

    measure: str
    dataset: str
    network: str
    recipe: Recipe
    seed: int = 0
    method: str = "none"
    density: float = 1.0
    iterations: int = 1
    examples: int = 0
    ablation: str = "none"
    prune_epoch: float = 0.0
    rewind_epoch: float | None = None
    levels: int = 1
    pruning_schedule: str = "exponential"

    def canonical(self) -> Trial:
        """The same trial without settings that cannot matter, so that figures share their trials."""
        trial = self
        if self.measure in ("structure", "cuts", "scores", "limit") or (
            self.measure == "masks" and not self.prune_epoch
        ):
            recipe = Recipe(epochs=0, initialisation=self.recipe.initialisation, gamma=self.recipe.gamma)
            trial = replace(trial, recipe=recipe)
        if self.measure == "scores":
            trial = replace(trial, iterations=1)
        if trial.iterations == 1:
            trial = replace(trial, pruning_schedule="exponential")
        if self.network in WITHOUT_BATCHNORM or self.recipe.initialisation == "own":
            trial = replace(trial, recipe=replace(trial.recipe, gamma="uniform"))
        if self.network in FULLY_CONNECTED:
            trial = replace(trial, recipe=replace(trial.recipe, channels_last=False))
        if self.density == 1 or self.measure != "accuracy":  # without masks there is nothing to leave out
            trial = replace(trial, recipe=replace(trial.recipe, shrink=False))
        if not trial.recipe.drops:
            trial = replace(trial, recipe=replace(trial.recipe, drop_factor=0.1))
        if not trial.recipe.momentum:
            trial = replace(trial, recipe=replace(trial.recipe, nesterov=False))
        if self.density == 1 and self.measure in ("accuracy", "masks", "structure", "cuts", "magnitudes"):
            trial = replace(trial, method="none", iterations=1, examples=0, ablation="none", levels=1)
            trial = replace(trial, prune_epoch=0.0, rewind_epoch=None, pruning_schedule="exponential")
        return trial

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as plain JSON."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        own = {name: value for name, value in own.items() if (name, value) not in _LATER_SETTINGS.items()}
        recipe = {
            field.name: value
            for field in fields(self.recipe)
            if (value := getattr(self.recipe, field.name)) != field.default or field.name not in _LATER_FIELDS
        }
        return {"version": VERSION, **own, "recipe": {**recipe, "drops": list(self.recipe.drops)}}

    @cached_property
    def name(self) -> str:
        """The first 16 hexadecimal digits of the hash of the settings."""
        return name_of(self.settings)

    @property
    def pair(self) -> str:
        """The names of the data set and the network."""
        return f"{self.dataset}/{self.network}"

    @property
    def reads_images(self) -> bool:
        """Whether the trial needs the images, not only their shape."""
        return self.measure in ("accuracy", "magnitudes") or self.examples > 0 or self.prune_epoch > 0

    def __str__(self) -> str:
        """The trial in one line, for a list or a log."""
        parts = [self.measure, self.pair, self.method]
        if self.measure in ("accuracy", "masks", "structure", "cuts"):
            parts.append(f"density {self.density:.4g}")
        if self.iterations > 1:
            parts.append(f"{self.iterations} iterations" + (", linear" if self.pruning_schedule == "linear" else ""))
        if self.ablation != "none":
            parts.append(self.ablation)
        if self.prune_epoch:
            parts.append(f"pruned after {self.prune_epoch:.3g} epochs")
        if self.rewind_epoch is not None:
            parts.append(f"rewound to {self.rewind_epoch:.3g}" + (f", {self.levels} levels" if self.levels > 1 else ""))
        if self.recipe.epochs:
            parts.append(f"{self.recipe.epochs} epochs")
        return ", ".join([*parts, f"seed {self.seed}"])


def name_of(settings: dict[str, Any]) -> str:
    """The name of the trial of plain settings, read back from JSON or not."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def trial_of(settings: dict[str, Any]) -> Trial:
    """The trial of plain settings, the inverse of ``Trial.settings``."""
    values = {key: value for key, value in settings.items() if key != "version"}
    recipe = {**values.pop("recipe")}
    return Trial(**values, recipe=Recipe(**{**recipe, "drops": tuple(recipe["drops"])}))
