"""The papers' training recipes, by paper, network and data set."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is initialised and trained.

    Attributes:
        epochs: over the training images.
        batch: images per step.
        rate: the learning rate at the start.
        optimizer: "sgd" or "adamw".
        momentum, nesterov: of SGD.
        decay: of the weights, by the optimiser.
        warmup: epochs in which the rate rises linearly to ``rate``.
        schedule: "drops" or "cosine", which falls to 0 at the end.
        drops: epochs after which the rate is multiplied by ``drop_factor``.
        initialisation: one of ``initialisations.INITIALISATIONS``.
        gamma: of BatchNorm at the start, "one" or "uniform".
        augmentation: "none", "shift" (by up to 4 pixels, mirrored) or "resized_crop".
        precision: "float32" or "bfloat16" (autocast).
        channels_last, compile: make some networks faster on some devices; results may change in their last bits.
        shrink: trains a pruned network without what its masks have emptied; results change by rounding.
    """

    epochs: int
    batch: int = 128
    rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    decay: float = 1e-4
    drops: tuple[float, ...] = ()
    drop_factor: float = 0.1
    initialisation: str = "fan_in"
    gamma: str = "uniform"
    augmentation: str = "shift"
    precision: str = "float32"
    channels_last: bool = False
    compile: bool = False
    optimizer: str = "sgd"
    schedule: str = "drops"
    warmup: float = 0.0
    shrink: bool = False

    def scaled(self, factor: float) -> Recipe:
        """The same schedule, shorter or longer: epochs, drops and warm-up times ``factor``."""
        epochs = max(1, round(self.epochs * factor))
        factor = epochs / self.epochs if self.epochs else 1.0
        return replace(
            self, epochs=epochs, drops=tuple(drop * factor for drop in self.drops), warmup=self.warmup * factor
        )

    def rate_after(self, epochs: float) -> float:
        """The learning rate after so many epochs."""
        if epochs < self.warmup:
            return self.rate * epochs / self.warmup
        if self.schedule == "cosine":
            return self.rate * (1 + math.cos(math.pi * (epochs - self.warmup) / (self.epochs - self.warmup))) / 2
        return self.rate * self.drop_factor ** sum(epochs >= drop for drop in self.drops)

    def __str__(self) -> str:
        """One line for a caption."""
        drops = ", ".join(f"{drop:g}" for drop in self.drops)
        rate = f" (x {self.drop_factor:g} at {drops})" if drops else " (cosine)" if self.schedule == "cosine" else ""
        momentum = f"{'Nesterov ' if self.nesterov else ''}momentum {self.momentum:g}"
        parts = [
            f"{self.epochs} epochs of {'SGD' if self.optimizer == 'sgd' else 'AdamW'}", f"batch {self.batch}",
            f"rate {self.rate:g}{rate}",
            *([f"warm-up {self.warmup:g}"] if self.warmup else []),
            *([momentum] if self.optimizer == "sgd" else []), f"decay {self.decay:g}",
            *([self.precision] if self.precision != "float32" else []),
        ]  # fmt: skip
        return ", ".join(parts)


_DIGITS = Recipe(epochs=10, batch=64, nesterov=True, decay=5e-4, drops=(5.0, 8.0), gamma="one", augmentation="none")
_SQUARES = Recipe(epochs=100, rate=1e-3, nesterov=True, drops=(30.0, 60.0, 80.0), initialisation="xavier")
_LENET = Recipe(epochs=40, momentum=0.0, decay=0.0, augmentation="none")


def frankle(dataset: str, network: str) -> Recipe:
    """The recipe of Frankle et al. 2021, appendix A.3; initialisation by appendices A.3 and D.4."""
    if dataset == "digits":
        return _DIGITS
    if dataset == "mnist":
        return _LENET
    if dataset == "tinyimagenet":
        augmentation = "resized_crop" if network.startswith("torchvision") else "shift"  # appendix A.2
        return Recipe(epochs=200, batch=256, rate=0.2, drops=(100.0, 150.0), augmentation=augmentation)
    if dataset == "imagenet":
        return Recipe(epochs=90, batch=1024, rate=0.4, drops=(30.0, 60.0, 80.0), augmentation="resized_crop")
    return Recipe(epochs=160, drops=(80.0, 120.0))


def synflow(dataset: str, network: str) -> Recipe:
    """The recipe of Tanaka et al. 2020, whose networks start with gammas of one.

    What is trained how: the commands of figure 6 in ``misc/Experiments_Figure_6.ipynb`` of the authors' repository,
    revision 6bc42cc. What starts how: their ``Models``. Data sets and networks that figure 6 does not have take over
    what is nearest; ImageNet, of which figures 2 to 4 need no training, is trained as by Frankle et al.
    """
    if dataset == "digits":
        return _DIGITS
    if dataset == "mnist":
        return replace(_LENET, gamma="one")
    initialisation = _synflow_initialisation(dataset, network)
    if dataset == "imagenet":
        return replace(frankle(dataset, network), nesterov=True, initialisation=initialisation, gamma="one")
    plain = Recipe(epochs=160, nesterov=True, drops=(60.0, 120.0), gamma="one", initialisation=initialisation)
    if dataset == "tinyimagenet":
        return replace(plain, epochs=100, rate=0.01, drops=(30.0, 60.0, 80.0), drop_factor=0.2)
    return replace(plain, rate=0.01, drop_factor=0.2, decay=5e-4) if "resnet18" in network else plain


def _synflow_initialisation(dataset: str, network: str) -> str:
    """Kaiming's fan-in in the networks of the lottery kind, else fan-out in convolutions, by ``Models`` there."""
    if network.startswith("vgg"):
        return "fan_out_small_linear" if dataset in ("tinyimagenet", "imagenet") else "fan_in"
    return "fan_out_convolutions" if "resnet18" in network or "resnet50" in network else "fan_in"


def synflow_cycles(dataset: str, network: str) -> Recipe:
    """The recipe of Tanaka et al. 2020, figure 5a: 50 epochs at a rate of 0.01 in each cycle.

    By ``Results/data/0529_2020_cifar10_lottery_vgg11_bn_lottery/args.json`` of the authors' repository.
    """
    recipe = synflow(dataset, network)
    return recipe if dataset == "digits" else replace(recipe, epochs=50, rate=0.01, drops=(), drop_factor=0.1)


def synflow_squares(dataset: str, network: str) -> Recipe:
    """The recipe of Tanaka et al. 2020, figure 5b: Xavier's initialisation and 100 epochs at a rate of 0.001.

    By ``Experiments/lottery-layer-conservation.py`` of the authors' repository, revision 4e6b4af, and the names of its
    results in ``Results/data/lottery_layer_conservation``.
    """
    recipe = synflow(dataset, network)
    return recipe if dataset == "digits" else replace(_SQUARES, gamma=recipe.gamma)


def transformer(epochs: int = 100) -> Recipe:
    """AdamW with warm-up and cosine, as vision transformers and ConvNeXt are trained, from their own initialisation.

    Shape of the schedule: Dosovitskiy et al. 2021, appendix B.1, and Liu et al. 2022 ("A ConvNet for the 2020s"),
    appendix A.1. The rate is the one that is usual for batches of 128 small images.
    """
    return Recipe(
        epochs=epochs, optimizer="adamw", rate=1e-3, decay=0.05, schedule="cosine", warmup=epochs / 20, momentum=0.0,
        initialisation="own",
    )  # fmt: skip
