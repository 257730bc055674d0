"""The papers' statements about masks, collapse and conservation, row by row."""

from __future__ import annotations

from benchmarks.fidelity.collapse import collapse
from benchmarks.fidelity.conservation import conservation
from benchmarks.fidelity.layer_rows import layer_rows
from benchmarks.fidelity.panels import accuracies, panels
from benchmarks.fidelity.row import Result, Row
from benchmarks.figures.frankle import MATCHING, SWEEP
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
FRANKLE = "Frankle et al. 2021"


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
        for row in (*found, *layer_rows(_masks, _matching), *collapse(), *panels(), *accuracies(), *conservation())
    }
