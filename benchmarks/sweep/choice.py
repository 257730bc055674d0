"""The changes that the command line makes to a figure's trials."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from benchmarks.sweep.methods import LATER, METHODS
from benchmarks.sweep.trial import Trial
from benchmarks.training.kinds import KINDS
from benchmarks.training.networks import NETWORKS
from benchmarks.training.recipes import Recipe


@dataclass(frozen=True)
class Choice:
    """Choices, each ``None`` or empty for the paper's.

    Attributes:
        pair: of data set and network, ``("cifar10/vgg16_bn", ...)``.
        seeds: how many.
        methods: those of the figure's methods to run, and additional methods of other papers.
        densities: kept / total at which to prune.
        iterations: of the methods that iterate.
        examples: of each class, for the methods that score with data.
        measure: of the figure's measures, the one to run.
        epochs_scale: makes every schedule shorter or longer.
        margin: in points of accuracy, of figures that test differences.
        budget: trials, of figures that search.
        recipe: fields of ``Recipe``.
    """

    pair: tuple[str, ...] | None = None
    seeds: int | None = None
    methods: tuple[str, ...] | None = None
    densities: tuple[float, ...] | None = None
    iterations: int | None = None
    examples: int | None = None
    measure: str | None = None
    epochs_scale: float = 1.0
    margin: float | None = None
    budget: int | None = None
    recipe: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, trial: Trial) -> Choice:
        """The choices that select exactly this trial in a figure that contains it."""
        return cls(
            pair=(trial.pair,), seeds=trial.seed + 1, methods=None if trial.method == "none" else (trial.method,),
            densities=(trial.density,), iterations=trial.iterations, examples=trial.examples or None,
            recipe=dict(vars(trial.recipe)),
        )  # fmt: skip

    def chosen(self, methods: tuple[str, ...]) -> tuple[str, ...]:
        """The chosen methods: those of the figure, and named ones of other papers."""
        return tuple(m for m in (*methods, *LATER) if (m in methods if self.methods is None else m in self.methods))

    def adjusted(self, recipe: Recipe) -> Recipe:
        """A recipe with the fields that were given, drops and warm-up in proportion to the epochs; all then scaled."""
        given = replace(recipe, **self.recipe)
        if "epochs" in self.recipe and recipe.epochs:
            factor = given.epochs / recipe.epochs
            if "drops" not in self.recipe:
                given = replace(given, drops=tuple(drop * factor for drop in recipe.drops))
            if "warmup" not in self.recipe:
                given = replace(given, warmup=recipe.warmup * factor)
        return given.scaled(self.epochs_scale)

    def trial(self, measure: str, pair: str, recipe: Recipe, seed: int, method: str = "none", **settings: Any) -> Trial:
        """A trial with the method's own iterations and examples unless others were chosen."""
        dataset, network = split(pair)
        own = METHODS.get(method)
        if own is not None:
            many, few = own.iterations > 1 and self.iterations, own.examples and self.examples
            settings = {"iterations": many or own.iterations, "examples": few or own.examples, **settings}
        trial = Trial(
            measure=measure, dataset=dataset, network=network, recipe=recipe, seed=seed, method=method, **settings
        )
        return trial.canonical()


def check_fit(pair: str) -> None:
    """Refuse a network that cannot take the images of a data set."""
    dataset, network = split(pair)
    kind = KINDS[dataset]
    try:
        with torch.device("meta"):  # shapes alone
            NETWORKS[network](kind.classes, kind.channels, kind.size).eval()(torch.ones(1, *kind.shape))
    except RuntimeError as error:
        shape = " x ".join(map(str, kind.shape))
        raise ValueError(f"--pair: {network} cannot take the images of {dataset}, {shape}: {error}") from error


def split(pair: str) -> tuple[str, str]:
    """Data set and network of ``dataset/network``, checked."""
    dataset, _, network = pair.partition("/")
    if dataset not in KINDS or network not in NETWORKS:
        raise ValueError(
            f"--pair: expected DATASET/NETWORK, of {', '.join(KINDS)} and of {', '.join(NETWORKS)}, got {pair}"
        )
    return dataset, network
