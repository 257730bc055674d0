"""Figures of Frankle et al. 2021, "Pruning neural networks at initialization: why are we missing the mark?"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from benchmarks.figures import accuracies, layers
from benchmarks.figures.panels import Figure, Line, Panel
from benchmarks.figures.ways import (
    AFTER,
    END,
    REWIND,
    TICKET,
    Way,
    ablated,
    after_training,
    at_start,
    compared,
    of,
    trained,
)
from benchmarks.sweep.choice import Choice, split
from benchmarks.sweep.methods import FIVE, METHODS
from benchmarks.sweep.trial import Trial
from benchmarks.training import recipes
from benchmarks.training.networks import FULLY_CONNECTED
from benchmarks.training.recipes import Recipe

MAIN = ("cifar10/resnet20", "cifar10/vgg16_bn", "tinyimagenet/torchvision_resnet18", "imagenet/torchvision_resnet50")
PAIRS = (*MAIN, "mnist/lenet_300_100", "tinyimagenet/resnet18")  # with appendices K and L
SMALL = tuple(pair for pair in PAIRS if not pair.startswith("imagenet"))  # ResNet-50 was not run for all
SWEEP = tuple(0.8**step for step in range(19))  # 0 to 98.2 % pruned, as the axes of the figures
#: the highest densities at which magnitude pruning after training matches (footnote 2), by network; 0.8 ** n
MATCHING = {"resnet20": 6, "vgg16_bn": 12, "torchvision_resnet18": 15, "torchvision_resnet50": 5}
#: networks for which the text names none: for appendix L it says "only at much lower sparsities" (L.1); others are ours
ASSUMED = {"resnet18": 4}
FOUR = ("magnitude", "snip", "grasp", "synflow")  # of the ablations
#: when figures 6 and 10 prune, as shares of the schedule
TIMES = (0.0, 0.003, 0.006, 0.0125, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)

Groups = Sequence[tuple[str, Sequence[Way]]]  # titles of panels, and what they show


def recipe_of(choice: Choice, pair: str) -> Recipe:
    """The paper's recipe for a pair, with the choices."""
    return choice.adjusted(recipes.frankle(*split(pair)))


def seeds_of(choice: Choice, pair: str) -> range:
    """Five, or three for the larger data sets (section 3)."""
    return range(choice.seeds or (3 if split(pair)[0] in ("tinyimagenet", "imagenet") else 5))


def _trials(choice: Choice, pair: str, way: Way, density: float, measure: str = "accuracy") -> tuple[Trial, ...]:
    recipe, settings = recipe_of(choice, pair), dict(way.settings)
    if settings.get("prune_epoch") == END:
        settings["prune_epoch"] = float(recipe.epochs)
    if way.rewound:
        original = recipes.frankle(*split(pair)).epochs
        settings["rewind_epoch"] = REWIND.get(split(pair)[1], 0.0) * recipe.epochs / original
    if way.fixed_variance:
        recipe = Recipe(**{**vars(recipe), "initialisation": "variance_one"})
    return tuple(
        choice.trial(measure, pair, recipe, seed, way.method, density=density, **settings)
        for seed in seeds_of(choice, pair)
    )


def line_of(choice: Choice, pair: str, way: Way, densities: Sequence[float], measure: str = "accuracy") -> Line:
    """The line of a way to prune."""
    points = tuple((density, _trials(choice, pair, way, density, measure)) for density in densities)
    return Line(way.label, points, way.colour, way.marker, way.dash)


def _sweep(choice: Choice, pairs: tuple[str, ...], *, ways: Sequence[Way]) -> list[Panel]:
    """Accuracy against density, one panel per pair (figures 3, 8, 11, 13, 14)."""
    return [
        Panel(
            pair,
            tuple(line_of(choice, pair, way, choice.densities or SWEEP) for way in compared(choice, ways)),
            note={"recipe": str(recipe_of(choice, pair))},
        )
        for pair in pairs
    ]


def _by_method(
    choice: Choice, pairs: tuple[str, ...], *, groups: Callable[[str, tuple[str, ...]], Groups]
) -> list[Panel]:
    """Accuracy against density, one panel per pair and method (figures 4, 9, 12).

    ``groups`` takes a pair and the methods of other papers that were chosen by name.
    """
    panels = []
    for pair in pairs:
        for title, group in groups(pair, choice.chosen(())):
            if ways := of(choice, group):
                lines = tuple(line_of(choice, pair, way, choice.densities or SWEEP) for way in ways)
                panels.append(Panel(f"{title}\n{pair}", lines, note={"recipe": str(recipe_of(choice, pair))}))
    return panels


def _figure_4(pair: str, later: tuple[str, ...]) -> Groups:
    groups: list[tuple[str, Sequence[Way]]] = []
    for name in (*FOUR, *later):
        ways = ablated(at_start(name), ("shuffle", "reinitialise", "invert"))
        if split(pair)[1] not in FULLY_CONNECTED:  # without normalisation, weights of variance one do not train
            ways.append(Way("variance one", "#AA4499", "X", name, ":", fixed_variance=True))
        groups.append((METHODS[name].title, ways))
    after = (AFTER, *map(after_training, trained(later)))
    return [*groups, *((way.label, ablated(way, ("shuffle", "reinitialise"))) for way in after)]


def _figure_9(pair: str, later: tuple[str, ...]) -> Groups:
    ways = [replace(after_training(name), label=METHODS[name].title, dash="-") for name in (*FOUR, *later)]
    return [(f"{way.label} after training", ablated(way, ("shuffle", "reinitialise"))) for way in ways]


def _figure_12(pair: str, later: tuple[str, ...]) -> Groups:
    return _ablations(("snip", "iterative_snip", *later))


def _ablations(names: Sequence[str]) -> Groups:
    return [(METHODS[name].title, ablated(at_start(name), ("shuffle", "reinitialise"))) for name in names]


def _matching(choice: Choice, pair: str) -> float:
    """The density of the figures that show one; 0.8 ** 12 for networks whose matching sparsity is unknown."""
    if choice.densities:
        return choice.densities[0]
    return float(0.8 ** (MATCHING | ASSUMED).get(split(pair)[1], 12))


def _at_matching(choice: Choice, pairs: tuple[str, ...], *, ways: Sequence[Way]) -> list[Panel]:
    """Masks at one density, one panel per pair (figures 5 and 15)."""
    panels = []
    for pair in pairs:
        density = _matching(choice, pair)
        lines = tuple(line_of(choice, pair, way, (density,), "masks") for way in compared(choice, ways))
        panels.append(Panel(f"{pair}, {100 - 100 * density:.1f} % pruned", lines))
    return panels


def _over_time(choice: Choice, pairs: tuple[str, ...], *, groups: Callable[[tuple[str, ...]], Groups]) -> list[Panel]:
    """Accuracy against the time of pruning, at one density (figures 6 and 10)."""
    panels = []
    for pair in pairs:
        recipe, density = recipe_of(choice, pair), _matching(choice, pair)
        for title, group in groups(choice.chosen(())):
            lines = []
            for way in of(choice, group):
                points = []
                for share in TIMES:
                    epoch = round(share * recipe.epochs, 4)
                    ticket = {"prune_epoch": END, "rewind_epoch": epoch}
                    settings = {**way.settings, **(ticket if way.rewound else {"prune_epoch": epoch})}
                    at = Way(way.label, way.colour, way.marker, way.method, way.dash, settings)
                    points.append((epoch, _trials(choice, pair, at, density)))
                lines.append(Line(way.label, tuple(points), way.colour, way.marker, way.dash))
            if lines:
                note = {"recipe": str(recipe), "drops": recipe.drops}
                title_of = f"{title}\n{pair}" if title else f"{pair}, {100 - 100 * density:.1f} % pruned"
                panels.append(Panel(title_of, tuple(lines), note=note))
    return panels


def _effective(choice: Choice, pairs: tuple[str, ...]) -> list[Panel]:
    """Effective parameters after shuffling over those before (figure 16): two lines of trials per method."""
    panels = []
    for pair in pairs:
        lines = []
        for name in choice.chosen(FOUR):
            plain, shuffled = ablated(at_start(name), ("shuffle",))
            densities = choice.densities or SWEEP[1:]
            lines += [line_of(choice, pair, way, densities, "masks") for way in (plain, shuffled)]
        panels.append(Panel(pair, tuple(lines)))
    return panels


EARLY = [at_start(name) for name in FIVE]
SHUFFLED_SYNFLOW = Way("SynFlow, shuffled", METHODS["synflow"].colour, "o", "synflow", "--", {"ablation": "shuffle"})
BEST = [*map(at_start, ("random", "magnitude", "snip", "grasp_magnitude")), SHUFFLED_SYNFLOW, AFTER]
INVERTED_GRASP = ablated(at_start("grasp"), ("invert",))[1]
OVER_TIME = [*EARLY, Way(TICKET.label, TICKET.colour, TICKET.marker, "magnitude", "--", rewound=True)]
NEURONS = [*map(at_start, FOUR), SHUFFLED_SYNFLOW]
_accuracy = accuracies.accuracy_by_density
_FIGURES = (
    Figure("frankle-3", "accuracy of the methods at initialisation", PAIRS, partial(_sweep, ways=[*EARLY, AFTER]),
           _accuracy),
    Figure("frankle-4", "ablations at initialisation", PAIRS, partial(_by_method, groups=_figure_4), _accuracy),
    Figure("frankle-5", "neurons by sparsity", PAIRS, partial(_at_matching, ways=NEURONS), layers.neuron_sparsity),
    Figure("frankle-6", "accuracy against the time of pruning", SMALL,
           partial(_over_time, groups=lambda later: [("", [*OVER_TIME, *map(at_start, later)])]),
           accuracies.accuracy_by_time),
    Figure("frankle-8", "baselines", PAIRS,
           partial(_sweep, ways=[*map(at_start, ("random", "magnitude")), AFTER, TICKET]), _accuracy),
    Figure("frankle-9", "ablations after training", SMALL, partial(_by_method, groups=_figure_9), _accuracy,
           columns=4),
    Figure("frankle-10", "ablations against the time of pruning", SMALL,
           partial(_over_time, groups=lambda later: _ablations((*FOUR, *later))), accuracies.accuracy_by_time,
           columns=4),
    Figure("frankle-11", "iterative SNIP", PAIRS, partial(_sweep, ways=[*map(at_start, ("snip", "iterative_snip"))]),
           _accuracy),
    Figure("frankle-12", "ablations of iterative SNIP", SMALL, partial(_by_method, groups=_figure_12), _accuracy,
           columns=2),
    Figure("frankle-13", "variants of GraSP", PAIRS,
           partial(_sweep, ways=[at_start("grasp"), INVERTED_GRASP, at_start("grasp_magnitude")]), _accuracy),
    Figure("frankle-14", "the best variants", PAIRS, partial(_sweep, ways=BEST), _accuracy),
    Figure("frankle-15", "sparsity of each layer", PAIRS, partial(_at_matching, ways=[*EARLY, AFTER]),
           layers.layer_sparsity, columns=1),
    Figure("frankle-16", "effective parameters after shuffling", PAIRS, _effective, layers.effective_ratio),
)  # fmt: skip
FIGURES = tuple(replace(figure, band="standard deviation") for figure in _FIGURES)  # section 3
