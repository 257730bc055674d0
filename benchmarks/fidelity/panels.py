"""Figure 6 of Tanaka et al. 2020: where magnitude pruning empties the ResNets' classifiers, and two accuracies."""

from __future__ import annotations

import math
from dataclasses import replace

from benchmarks.fidelity.row import Result, Row
from benchmarks.sweep.choice import Choice, split
from benchmarks.training import recipes

#: the last ratio of figure 6 at which the authors' networks train, and the first at which all are at chance
LOG10_RATIOS = (1.0, 1.25)
NETWORKS = {"resnet18": "ResNet-18", "wide_resnet18": "WideResNet-18"}
#: what the authors' code builds under this name: basic blocks of Models/tinyimagenet_resnet.py ignore their base_width
AS_BUILT = {"wide_resnet18": "resnet18"}
DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "tinyimagenet": "Tiny ImageNet"}


def first_without_classifier(*masks: Result) -> float:
    """log10 of the first ratio at which the last layer is empty; infinite if at none."""
    ratios = zip(LOG10_RATIOS, masks, strict=True)
    return next((ratio for ratio, found in ratios if found["layers"][-1][0] in found["empty_layers"]), math.inf)


def _of_layers(*masks: Result) -> str:
    classifiers = ", ".join(
        f"{found['layers'][-1][1]:,} at 10^{x:g}" for x, found in zip(LOG10_RATIOS, masks, strict=True)
    )
    return f"weights of the classifier: {classifiers}; empty at 10^1.25: {', '.join(masks[-1]['empty_layers'])}"


def _row(dataset: str, network: str) -> Row:
    pair = f"{dataset}/{AS_BUILT.get(network, network)}"
    recipe = recipes.synflow(*split(pair))
    name = NETWORKS[network] + ", which the authors build as a ResNet-18" * (network in AS_BUILT)
    return Row(
        name=f"panel/{dataset}/{network}",
        what="log10 of the first ratio of figure 6 at which magnitude pruning leaves no weight of the classifier: "
        f"{name}, {DATASETS[dataset]}",
        source="Tanaka et al. 2020, figure 6",
        paper="1.25",
        low=LOG10_RATIOS[-1],
        high=LOG10_RATIOS[-1],
        value=first_without_classifier,
        trials=tuple(
            Choice().trial("masks", pair, recipe, 0, "magnitude", density=10**-ratio) for ratio in LOG10_RATIOS
        ),
        bound=0,
        detail=_of_layers,
    )


def panels() -> list[Row]:
    """A row for each panel of a ResNet: the authors' accuracies are at chance from 10^1.25 on, and well above at 10."""
    return [_row(dataset, network) for network in NETWORKS for dataset in DATASETS]


def _accuracy(network: str, name: str, paper: float, precision: str) -> Row:
    pair = f"cifar10/{network}"
    recipe = replace(recipes.synflow(*split(pair)), channels_last=True, shrink=True, precision=precision)
    return Row(
        name=f"accuracy/{pair}/synflow",
        what=f"% accuracy at 10^3 by SynFlow, of the best of {recipe.epochs} epochs: {name}, CIFAR-10",
        source="Tanaka et al. 2020, figure 6",
        paper=f"{paper:g}",
        low=paper,
        high=paper,
        value=lambda trained: trained["best_accuracy"],
        trials=(Choice().trial("accuracy", pair, recipe, 0, "synflow", density=10.0**-3),),
        bound=2,
        detail=lambda trained: f"after the last epoch {trained['accuracy']:.2f} %",
    )


def accuracies() -> list[Row]:
    """The networks that were trained with the whole schedule: the only rows of the table that train.

    The paper's values are the means of the authors' three runs, 76.71 to 77.09 % and 80.32 to 80.49 %. The networks
    are shrunk, which changes results by rounding, because the dense ones take far longer on a CPU.
    """
    return [_accuracy("vgg11_bn", "VGG-11", 76.9, "float32"), _accuracy("vgg16_bn", "VGG-16", 80.4, "bfloat16")]
