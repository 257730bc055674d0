"""Where layers collapse: figures 1, 2, 6 and 7 of Tanaka et al. 2020."""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from benchmarks.fidelity.row import Result, Row
from benchmarks.figures.synflow import THIRTEEN
from benchmarks.sweep.choice import Choice, split
from benchmarks.sweep.methods import METHODS
from benchmarks.sweep.trial import Trial
from benchmarks.training import recipes
from benchmarks.training.kinds import KINDS
from benchmarks.training.networks import NETWORKS, pruned_parameters
from torch_synflow import diagnostics

TANAKA = "Tanaka et al. 2020"
VGG, VGG19 = "cifar10/vgg16_bn", "cifar10/vgg19_bn"
APART = 0.01  # in log10 of the compression: how closely the bisection finds a collapse
#: log10 of the ratios of figure 6 with VGG-16 on CIFAR-10: the last at which all three of the authors' networks are
#: above chance (figure 6 ends at 3). A network with an empty layer is at chance
TRAINED = {"random": 2.5, "magnitude": 2.25, "snip": 3.0, "grasp": 3.0}
#: the same: the first at which one network is at chance, and the first at which all three are
AT_CHANCE = {"random": (2.75, 3.0), "magnitude": (2.5, 2.5)}
QUARTERS = (2.25, 2.5, 2.75, 3.0)
FIGURE_6 = f"{TANAKA}, figure 6 (the authors' accuracies, VGG-16 on CIFAR-10)"


def synflow_trial(measure: str, pair: str, method: str, density: float = 1.0, examples: int | None = None) -> Trial:
    """A trial of the SynFlow authors' networks at initialisation."""
    recipe = recipes.synflow(*split(pair))
    return Choice(examples=examples).trial(measure, pair, recipe, 0, method, density=density)


def critical(limit: Result) -> float:
    """log10 of the critical compression."""
    return float(limit["critical_log10_compression"])


@lru_cache
def max_compression(pair: str) -> float:
    """log10 of the max compression, which leaves one weight in each layer."""
    dataset, network = split(pair)
    kind = KINDS[dataset]
    with torch.random.fork_rng(devices=[]):
        model = NETWORKS[network](kind.classes, kind.channels, kind.size)
    return math.log10(diagnostics.compression(model, pruned_parameters(network, model)).max_ratio)


def first_empty(*masks: Result) -> float:
    """log10 of the first compression at which a layer is empty, by half decades; infinite if at none."""
    empty = (k / 2 for k, found in enumerate(masks, 1) if found["empty_layers"])
    return next(empty, math.inf)


def first_cut_off(*masks: Result) -> float:
    """log10 of the first ratio of ``QUARTERS`` at which no weight is on a path; infinite if at none."""
    return next((ratio for ratio, found in zip(QUARTERS, masks, strict=True) if not found["effective"]), math.inf)


def evaluated(method: str) -> str:
    """The method in evaluation mode, in which the paper scores, if it has modes."""
    return f"{method}_evaluation" if method in ("snip", "grasp") else method


def _of_synflow() -> list[Row]:
    """SynFlow leaves a weight in each layer, up to max compression."""

    def kept(masks: Result) -> list[int]:
        return [weights for _, weights, _ in masks["layers"]]

    def listed(masks: Result) -> str:
        return f"weights of each layer: {', '.join(map(str, kept(masks)))}"

    million, limit = (synflow_trial("masks", VGG, "synflow", 1e-6),), synflow_trial("limit", VGG, "synflow")
    per_layer = "weights in the {} layer of VGG-16 at compression 10^6, SynFlow"
    return [
        *(
            Row(name=f"collapse/synflow/{word}", source=f"{TANAKA}, section 6 and figure 2",
                what=per_layer.format(word), paper="1 or 2", low=1, high=2, value=of, trials=million, bound=0,
                detail=detail)
            for word, of, detail in (
                ("emptiest", lambda masks: min(kept(masks)), None), ("fullest", lambda masks: max(kept(masks)), listed),
            )
        ),
        Row(name="collapse/synflow/limit", what="max over critical compression of VGG-16, SynFlow, in log10",
            source=f"{TANAKA}, figure 1", paper="0", low=0, high=0, bound=APART, trials=(limit,),
            value=lambda found: found["max_log10_compression"] - critical(found)),
    ]  # fmt: skip


def _of_others() -> list[Row]:
    """Where others empty a layer, and where no weight is left on a path."""
    rows, limit = [], max_compression(VGG)
    for method, trained in TRAINED.items():
        rows += [
            Row(name=f"collapse/{name.replace('_', '-')}/vgg16", source=FIGURE_6, paper=f"{trained:g} to {limit:.2f}",
                low=trained, high=limit - APART, value=critical, bound=0, trials=(synflow_trial("limit", VGG, name),),
                what=f"log10 of the critical compression of VGG-16, {METHODS[name].title}")
            for name in dict.fromkeys((method, evaluated(method)))
        ]  # fmt: skip
        if method in AT_CHANCE:
            low, high = AT_CHANCE[method]
            rows.append(
                Row(name=f"collapse/{method}/path", source=FIGURE_6, low=low, high=high, value=first_cut_off, bound=0,
                    paper=f"{low:g}" if low == high else f"{low:g} to {high:g}",
                    what=f"log10 of the first ratio of figure 6 at which VGG-16 has no path, {METHODS[method].title}",
                    trials=tuple(synflow_trial("masks", VGG, method, 10**-ratio) for ratio in QUARTERS))
            )  # fmt: skip
        rows.append(
            Row(name=f"collapse/{method}/vgg19", source=f"{TANAKA}, figure 2 (read from the picture)", low=2.5,
                high=4.0, paper="2.5 to 4", value=first_empty, bound=0,
                what="log10 of the first compression with an empty layer, by half decades, VGG-19, "
                f"{METHODS[evaluated(method)].title}",
                trials=tuple(synflow_trial("masks", VGG19, evaluated(method), density) for density in THIRTEEN[1:]))
        )  # fmt: skip
    return rows


def collapse() -> list[Row]:
    """All of them."""
    # one image per class, because a hundred iterations of ten images take a CPU a long night
    once, often = (synflow_trial("limit", VGG, name, examples=1) for name in ("snip", "iterative_snip"))
    of_snip = "of VGG-16, SNIP with 100 iterations, one image per class"
    return [
        *_of_synflow(),
        *_of_others(),
        Row(name="collapse/iterative-snip/up", source=f"{TANAKA}, figure 7", paper="> 0", low=APART, high=math.inf,
            what=f"critical compression {of_snip}, over that with one, in log10", bound=0, trials=(once, often),
            value=lambda one, many: critical(many) - critical(one),
            detail=lambda one, many: f"10^{critical(one):.2f} with one iteration, 10^{critical(many):.2f} with 100"),
        Row(name="collapse/iterative-snip/limit", source=f"{TANAKA}, figure 7", paper="> 0", low=APART, high=math.inf,
            what=f"max over critical compression {of_snip}, in log10", bound=0, trials=(often,),
            value=lambda many: many["max_log10_compression"] - critical(many)),
    ]  # fmt: skip
