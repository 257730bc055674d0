"""The papers' statements about masks, collapse and conservation, row by row."""

from __future__ import annotations

import math
from functools import partial

from benchmarks.fidelity import theorems
from benchmarks.fidelity.layer_rows import layer_rows
from benchmarks.fidelity.panels import accuracies, panels
from benchmarks.fidelity.row import Result, Row
from benchmarks.figures.frankle import MATCHING, SWEEP
from benchmarks.figures.synflow import THIRTEEN
from benchmarks.sweep.choice import Choice, split
from benchmarks.sweep.methods import METHODS
from benchmarks.sweep.trial import Trial
from benchmarks.training import recipes

NETWORKS = {
    "resnet20": "cifar10/resnet20",
    "vgg16": "cifar10/vgg16_bn",
    "resnet18": "tinyimagenet/torchvision_resnet18",
    "resnet50": "imagenet/torchvision_resnet50",
}
TITLES = {"resnet20": "ResNet-20", "vgg16": "VGG-16", "resnet18": "ResNet-18", "resnet50": "ResNet-50"}
#: percent of convolution channels that are pruned whole: Frankle et al. 2021, section 5
NEURONS = {
    "synflow": {"resnet20": "31", "vgg16": "52", "resnet18": "69", "resnet50": "29"},
    "magnitude": {"resnet20": "0", "vgg16": "0", "resnet18": "< 1", "resnet50": "0"},
    "snip": {"resnet20": "5", "vgg16": "11"},
    "grasp": {"resnet20": "1", "vgg16": "6"},
    "synflow-shuffled": {"resnet20": "1", "vgg16": "0", "resnet18": "3.5", "resnet50": "13"},
}
#: effective parameters after shuffling over those before, at the highest matching sparsity and at the highest of all:
#: Frankle et al. 2021, appendix M
RATIOS = {
    "resnet20": {
        "magnitude": (1.0000, 1.0016), "snip": (1.0006, 1.0353), "grasp": (1.0000, 1.0197), "synflow": (1.0000, 0.9921),
    },
    "vgg16": {
        "magnitude": (1.0000, 0.9998), "snip": (1.0007, 1.0058), "grasp": (1.0003, 1.0036), "synflow": (1.0000, 1.0001),
    },
    # SNIP and GraSP need images here; the paper has 1.0026, 1.0227 and 1.0011, 1.0030 of ResNet-18
    "resnet18": {"magnitude": (1.0003, 1.0000), "synflow": (1.0001, 1.0001)},
    # and 1.0003, 1.0016 and 1.0000, 1.0009 of ResNet-50
    "resnet50": {"magnitude": (1.0000, 0.9979), "synflow": (1.0000, 1.0001)},
}  # fmt: skip
#: the density at the highest sparsity of all, where that is not 98.2 % (appendix M: 94.5 %)
SPARSEST = {"resnet50": 0.8**13}
FRANKLE, TANAKA = "Frankle et al. 2021", "Tanaka et al. 2020"
VGG = "cifar10/vgg16_bn"
APART = 0.01  # in log10 of the compression: how closely the bisection finds a collapse


def _masks(key: str, method: str, density: float, ablation: str = "none") -> Trial:
    pair = NETWORKS[key]
    recipe = recipes.frankle(*split(pair))
    return Choice().trial("masks", pair, recipe, 0, method, density=density, ablation=ablation)


def _matching(key: str) -> float:
    """The highest matching density (footnote 2)."""
    return float(0.8 ** MATCHING[split(NETWORKS[key])[1]])


def _sparsest(key: str) -> float:
    return SPARSEST.get(key, SWEEP[-1])


def _pruned(density: float) -> str:
    return f"{100 - 100 * density:.1f} % pruned"


def collapsed(masks: Result) -> float:
    """Percent of convolution channels pruned whole."""
    return float(100 * masks["collapsed_channels"] / masks["channels"])


def _neurons(name: str, key: str, said: str) -> Row:
    method, _, shuffled = name.partition("-")
    number, density = float(said.lstrip("< ")), _matching(key)
    size = {"resnet18": ", input of 64x64", "resnet50": ", input of 224x224"}.get(key, "")
    title = METHODS[method].title + (", masks shuffled within layers" if shuffled else "")
    return Row(
        name=f"neurons/{name}/{key}",
        what=f"% of channels pruned whole by {title}: {TITLES[key]}, {_pruned(density)}{size}",
        source=f"{FRANKLE}, section 5 and figure 5",
        paper=said,
        low=0 if "<" in said else number,
        high=number,
        value=collapsed,
        trials=(_masks(key, method, density, "shuffle" if shuffled else "none"),),
        needs=frozenset({"channels", "collapsed_channels"}),
        bound=2 if method == "synflow" else 3,
    )


def downsampling(masks: Result) -> dict[str, float]:
    """The density of each convolution on a skip path."""
    return {name: kept / total for name, kept, total in masks["layers"] if "downsample" in name}


def _ratio(key: str, method: str, at: str, said: float) -> Row:
    density = _matching(key) if at == "matching" else _sparsest(key)
    return Row(
        name=f"effective/{method}/{key}/{at}",
        what=f"effective parameters, shuffled over not, {METHODS[method].title}: {TITLES[key]}, {_pruned(density)}",
        source=f"{FRANKLE}, appendix M",
        paper=f"{said:.4f}",
        low=said,
        high=said,
        value=lambda plain, shuffled: shuffled["effective"] / plain["effective"],
        trials=(_masks(key, method, density), _masks(key, method, density, "shuffle")),
    )


def _synflow(measure: str, pair: str, method: str, density: float = 1.0, examples: int | None = None) -> Trial:
    """A trial of the SynFlow authors' networks at initialisation."""
    recipe = recipes.synflow(*split(pair))
    return Choice(examples=examples).trial(measure, pair, recipe, 0, method, density=density)


def critical(limit: Result) -> float:
    """log10 of the critical compression."""
    return float(limit["critical_log10_compression"])


def _kept(masks: Result) -> list[int]:
    return [kept for _, kept, _ in masks["layers"]]


def _listed(masks: Result) -> str:
    return f"weights of each layer: {', '.join(map(str, _kept(masks)))}"


def first_empty(*masks: Result) -> float:
    """log10 of the first compression at which a layer is empty, by half decades; infinite if at none."""
    empty = (k / 2 for k, found in enumerate(masks, 1) if found["empty_layers"])
    return next(empty, math.inf)


def _collapse() -> list[Row]:
    """Where layers collapse."""
    million = (_synflow("masks", VGG, "synflow", 1e-6),)
    per_layer = "weights in the {} layer of VGG-16 at compression 10^6, SynFlow"
    rows = [
        Row(name=f"collapse/synflow/{word}", what=per_layer.format(word), source=f"{TANAKA}, section 6 and figure 2",
            paper="1 or 2", low=1, high=2, value=of, trials=million, bound=0, detail=detail)
        for word, of, detail in (
            ("emptiest", lambda masks: min(_kept(masks)), None),
            ("fullest", lambda masks: max(_kept(masks)), _listed),
        )
    ]  # fmt: skip
    limit = _synflow("limit", VGG, "synflow")
    rows.append(
        Row(name="collapse/synflow/limit", what="max over critical compression of VGG-16, SynFlow, in log10",
            source=f"{TANAKA}, figure 1", paper="0", low=0, high=0, bound=APART, trials=(limit,),
            value=lambda found: found["max_log10_compression"] - critical(found))
    )  # fmt: skip
    for method in ("random", "magnitude", "snip", "grasp"):
        evaluated = f"{method}_evaluation" if method in ("snip", "grasp") else method  # the mode of figure 2
        grid = tuple(_synflow("masks", "cifar10/vgg19_bn", evaluated, density) for density in THIRTEEN[1:])
        rows += [
            Row(name=f"collapse/{name.replace('_', '-')}/vgg16", source=f"{TANAKA}, figure 1", paper="2.5 to 4",
                low=2.5, high=4.0, what=f"log10 of the critical compression of VGG-16, {METHODS[name].title}",
                value=critical, bound=0, trials=(_synflow("limit", VGG, name),))
            for name in dict.fromkeys((method, evaluated))
        ]  # fmt: skip
        rows.append(
            Row(name=f"collapse/{method}/vgg19", source=f"{TANAKA}, figure 2", paper="2.5 to 4", low=2.5, high=4.0,
                what="log10 of the first compression with an empty layer, by half decades, VGG-19, "
                f"{METHODS[evaluated].title}", value=first_empty, trials=grid, bound=0)
        )  # fmt: skip
    # one image per class, because a hundred iterations of ten images take a CPU a long night
    once, often = (_synflow("limit", VGG, name, examples=1) for name in ("snip", "iterative_snip"))
    of_snip = "of VGG-16, SNIP with 100 iterations, one image per class"
    rows += [
        Row(name="collapse/iterative-snip/up", source=f"{TANAKA}, figure 7", paper="> 0", low=APART, high=math.inf,
            what=f"critical compression {of_snip}, over that with one, in log10", bound=0, trials=(once, often),
            value=lambda one, many: critical(many) - critical(one),
            detail=lambda one, many: f"10^{critical(one):.2f} with one iteration, 10^{critical(many):.2f} with 100"),
        Row(name="collapse/iterative-snip/limit", source=f"{TANAKA}, figure 7", paper="> 0", low=APART, high=math.inf,
            what=f"max over critical compression {of_snip}, in log10", bound=0, trials=(often,),
            value=lambda many: many["max_log10_compression"] - critical(many)),
    ]  # fmt: skip
    return rows


def _conservation() -> list[Row]:
    """Both theorems."""
    words = {"synflow": "SynFlow", "snip": "SNIP without its absolute value", "grasp": "w * Hg + g^2 (from GraSP)"}
    said = "greatest relative error at any {} of {}, in float64: {}, at initialisation and with offsets"
    rows = []
    for key, title in (("vgg19_bn", "VGG-19"), ("resnet18", "ResNet-18")):
        for saliency, word in words.items():
            for number, value in ((1, theorems.theorem_1), (2, theorems.theorem_2)):
                rows.append(
                    Row(name=f"theorem-{number}/{saliency}/{key}", source=f"{TANAKA}, theorem {number}", paper="0",
                        low=0, high=0, bound=1e-9, value=partial(value, key, saliency),
                        what=said.format(("neuron", "cut")[number - 1], word, title))
                )  # fmt: skip
        rows.append(
            Row(name=f"theorem-2/grasp-alone/{key}", source=f"{TANAKA}, theorem 2", paper="0", low=0, high=0,
                bound=1e-9, value=partial(theorems.grasp_alone, key),
                what=f"relative difference of GraSP's sums of w * Hg over the cuts, in float64: {title}",
                detail=lambda: "along g, SNIP's sums change by w * Hg + g^2: that is conserved, w * Hg alone is not")
        )  # fmt: skip
    return rows


def rows() -> dict[str, Row]:
    """All rows by name."""
    found = [_neurons(name, key, said) for name, of in NEURONS.items() for key, said in of.items()]
    found.append(
        Row(name="downsample/resnet50", source=f"{FRANKLE}, appendix J", paper="3", low=3, high=3, bound=0,
            what="of four downsample layers, those of which SynFlow leaves under 1 %: ResNet-50, "
            f"{_pruned(_matching('resnet50'))}, input of 224x224",
            value=lambda masks: sum(density < 0.01 for density in downsampling(masks).values()),
            trials=(_masks("resnet50", "synflow", _matching("resnet50")),),
            detail=lambda masks: ", ".join(f"{n} {100 * d:.2f} %" for n, d in downsampling(masks).items()))
    )  # fmt: skip
    for key, of in RATIOS.items():
        for method, said in of.items():
            highest = f"{100 - 100 * _sparsest(key):.1f}"
            found += [_ratio(key, method, at, number) for at, number in zip(("matching", highest), said, strict=True)]
    return {
        row.name: row
        for row in (*found, *layer_rows(_masks, _matching), *_collapse(), *panels(), *accuracies(), *_conservation())
    }
