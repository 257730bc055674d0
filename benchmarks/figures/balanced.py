"""Does it train? BalancedSynFlow beside SynFlow and others on networks with shortcuts: a figure of our own."""

from __future__ import annotations

from functools import partial

from benchmarks.figures.accuracies import accuracy_by_compression
from benchmarks.figures.compared import compared
from benchmarks.figures.panels import Figure
from benchmarks.sweep.choice import Choice, split
from benchmarks.training import recipes
from benchmarks.training.recipes import Recipe

NETWORKS = tuple(
    f"cifar10/{name}"
    for name in (
        "resnet20", "resnet18_width16", "mobilenet_v2", "small_convnext", "small_vit", "small_vit_attention",
    )
)  # fmt: skip
METHODS = ("synflow", "balanced", "erk", "magnitude", "snip")
COMPRESSIONS = (1, 5, 10, 20, 50, 100, 300)


def _recipe_of(choice: Choice, pair: str) -> Recipe:
    dataset, network = split(pair)
    modern = network.startswith(("small_vit", "small_convnext"))
    return choice.adjusted(recipes.transformer() if modern else recipes.frankle(dataset, network))


FIGURES = (
    Figure(
        "balanced",
        "SynFlow with equal shares for branches",
        NETWORKS,
        partial(compared, methods=METHODS, densities=tuple(1 / ratio for ratio in COMPRESSIONS), recipe_of=_recipe_of),
        accuracy_by_compression,
        columns=3,
    ),
)
