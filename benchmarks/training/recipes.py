"""The papers' training recipes, by paper, network and data set."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is initialised and trained.

    Attributes:
        epochs: over the training images.
        batch: images a step.
        rate: the learning rate at the start.
        optimizer: "sgd" or "adamw".
        momentum, nesterov: of SGD.
        decay: of the weights, by the optimiser.
        warmup: epochs in which the rate rises linearly to ``rate``.
        schedule: "drops" or "cosine", which falls to 0 at the end.
        drops: epochs after which the rate is multiplied by ``drop_factor``.
        initialisation: "fan_in", "fan_out" or "variance_one", or "own", as the network's modules have it.
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

    Known for VGG and ResNet-18 on CIFAR and for the number of epochs, rate and batch of ResNet-18 on Tiny ImageNet
    (as reported by Frankle et al. 2021, table 7). Drops at 3/8 and 3/4 of the schedule are those of VGG on CIFAR;
    for other pairs they are taken over. Kaiming's fan-out is what the paper says; the CIFAR networks of VGG in the
    authors' code use fan-in.
    """
    if dataset == "digits":
        return _DIGITS
    if dataset == "mnist":
        return replace(_LENET, gamma="one")
    if dataset == "imagenet":
        return replace(frankle(dataset, network), nesterov=True, initialisation="fan_out", gamma="one")
    plain = Recipe(epochs=160, nesterov=True, drops=(60.0, 120.0), gamma="one", initialisation="fan_out")
    if network.startswith("vgg") and dataset != "tinyimagenet":
        plain = replace(plain, initialisation="fan_in")
    if "resnet18" in network:
        plain = replace(plain, rate=0.01, drop_factor=0.2)
    return plain.scaled(100 / 160) if dataset == "tinyimagenet" else plain


def transformer(epochs: int = 100) -> Recipe:
    """AdamW with warm-up and cosine, as vision transformers and ConvNeXt are trained, from their own initialisation.

    Shape of the schedule: Dosovitskiy et al. 2021, appendix B.1, and Liu et al. 2022 ("A ConvNet for the 2020s"),
    appendix A.1. The rate is the one that is usual for batches of 128 small images.
    """
    return Recipe(
        epochs=epochs, optimizer="adamw", rate=1e-3, decay=0.05, schedule="cosine", warmup=epochs / 20, momentum=0.0,
        initialisation="own",
    )  # fmt: skip
