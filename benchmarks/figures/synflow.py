"""Figures of Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow"."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from benchmarks.figures import accuracies, layers
from benchmarks.figures.axes import shade
from benchmarks.figures.compared import compared, line, seeds_of
from benchmarks.figures.panels import Figure, Line, Panel
from benchmarks.sweep.choice import Choice, split
from benchmarks.sweep.methods import FIVE, METHODS
from benchmarks.training import recipes
from benchmarks.training.recipes import Recipe

SEVENTEEN = tuple(10 ** -(step / 4) for step in range(17))  # section 7
TWENTY_FIVE = tuple(10 ** -(step / 4) for step in range(25))  # figures 1 and 7, up to max compression
FIFTY = tuple(10 ** -(step / 10) for step in range(50))  # figure 5a
THIRTEEN = tuple(10 ** -(step / 2) for step in range(13))  # figure 2
TWELVE = tuple(
    f"{dataset}/{network}"
    for network in ("vgg11_bn", "vgg16_bn", "resnet18", "wide_resnet18")
    for dataset in ("cifar10", "cifar100", "tinyimagenet")
)
IMP_LEVELS = (1, 2, 3, 4, 5)  # by the names of the results of figure 5a in the authors' repository
#: figures 2 to 4 score in evaluation mode; the rebuttal runs figures 1 and 6 again in training mode
BOTH_MODES = ("random", "magnitude", "snip_evaluation", "snip", "grasp_evaluation", "grasp", "synflow")


def recipe_of(choice: Choice, pair: str) -> Recipe:
    """The authors' recipe for a pair, with the choices."""
    return choice.adjusted(recipes.synflow(*split(pair)))


_accuracies = partial(compared, densities=SEVENTEEN, recipe_of=recipe_of)
_to_the_limit = partial(compared, densities=TWENTY_FIVE, recipe_of=recipe_of, limits=True)


def _layers(choice: Choice, pairs: tuple[str, ...]) -> list[Panel]:
    """The density of each layer, with one panel per method (figure 2)."""
    panels = []
    for pair in pairs:
        recipe = recipe_of(choice, pair)
        for name in choice.chosen(BOTH_MODES):
            trials = [
                (d, (choice.trial("masks", pair, recipe, s, name, density=d),))
                for d in choice.densities or THIRTEEN
                for s in range(choice.seeds or 1)
            ]
            panels.append(Panel(f"{METHODS[name].title}\n{pair}", (line(name, trials),)))
    return panels


def _scores(choice: Choice, pairs: tuple[str, ...], *, methods: tuple[str, ...]) -> list[Panel]:
    """Scores of the unpruned network, with one panel per method (figures 3 and 4)."""
    panels = []
    for pair in pairs:
        recipe = recipe_of(choice, pair)
        for name in choice.chosen(methods):
            trials = tuple(
                choice.trial("scores", pair, recipe, s, name, iterations=1) for s in range(choice.seeds or 1)
            )
            panels.append(Panel(f"{METHODS[name].title}\n{pair}", (line(name, [(0, trials)]),)))
    return panels


def _imp(choice: Choice, pairs: tuple[str, ...]) -> list[Panel]:
    """Iterative magnitude pruning with an increasing number of cycles of training (figure 5a)."""
    panels = []
    for pair in pairs:
        recipe, lines = choice.adjusted(recipes.synflow_cycles(*split(pair))), []
        for number, levels in enumerate(IMP_LEVELS):
            cycle = {"prune_epoch": float(recipe.epochs), "rewind_epoch": 0.0, "levels": levels}
            points = []
            for density in choice.densities or FIFTY:
                trials = tuple(
                    choice.trial("accuracy", pair, recipe, s, "magnitude", density=density, **cycle)
                    for s in seeds_of(choice)
                )
                points.append((density, trials))
            plural = "" if levels == 1 else "s"
            colour = shade(METHODS["magnitude"].colour, 1.15 - 0.2 * number)
            lines.append(Line(f"{levels} cycle{plural}", tuple(points), colour, "osD^v"[number]))
        panels.append(Panel(pair, tuple(lines), note={"recipe": str(recipe)}))
    return panels


def _squares(choice: Choice, pairs: tuple[str, ...]) -> list[Panel]:
    """The mean square of each layer's weights against its size, before and after training (figure 5b)."""
    panels = []
    for pair in pairs:
        recipe = choice.adjusted(recipes.synflow_squares(*split(pair)))
        trials = tuple(choice.trial("magnitudes", pair, recipe, s) for s in range(choice.seeds or 1))
        unlabelled = replace(line("magnitude", [(0, trials)]), label="")
        panels.append(Panel(pair, (unlabelled,), note={"recipe": str(recipe)}))
    return panels


VGG19 = ("imagenet/vgg19_bn",)
PAIR_OF_FIGURE_1 = ("cifar100/vgg16_bn",)
FIGURES = (
    Figure("synflow-1", "accuracy and critical compression of five methods", PAIR_OF_FIGURE_1,
           partial(_to_the_limit, methods=FIVE), accuracies.accuracy_by_compression),
    Figure("synflow-2", "density of each layer", VGG19, _layers, layers.layer_profile, columns=4),
    Figure("synflow-3", "scores into and out of hidden units", VGG19,
           partial(_scores, methods=(*BOTH_MODES, "saliency")), layers.units, columns=4),
    Figure("synflow-4", "average score of a layer against its size", VGG19, partial(_scores, methods=BOTH_MODES),
           layers.layer_scores, columns=4),
    Figure("synflow-5a", "iterative magnitude pruning over its cycles", ("cifar10/vgg11_bn",), _imp,
           accuracies.accuracy_by_compression),
    Figure("synflow-5b", "squared weights of layers before and after training", ("cifar10/vgg19",), _squares,
           layers.squares),
    Figure("synflow-6", "accuracy against compression", TWELVE, partial(_accuracies, methods=FIVE),
           accuracies.accuracy_by_compression),
    Figure("synflow-7", "SNIP with one and a hundred iterations", PAIR_OF_FIGURE_1,
           partial(_to_the_limit, methods=("snip", "iterative_snip", "synflow")), accuracies.accuracy_by_compression),
    Figure("synflow-a", "GraSP in both modes (rebuttal, figure A)", PAIR_OF_FIGURE_1,
           partial(_to_the_limit, methods=("grasp_evaluation", "grasp", "synflow")),
           accuracies.accuracy_by_compression),
    Figure("synflow-b", "SNIP in both modes, and iterated (rebuttal, figure B)", PAIR_OF_FIGURE_1,
           partial(_to_the_limit, methods=("snip_evaluation", "snip", "iterative_snip", "synflow")),
           accuracies.accuracy_by_compression),
)  # fmt: skip
