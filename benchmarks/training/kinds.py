"""Properties of the data sets that are known without their images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Properties of a data set that are known without its images.

    Attributes:
        classes, channels: of the images.
        size: the side that networks see.
        stored: the side that is kept.
    """

    classes: int
    channels: int
    size: int
    stored: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one input."""
        return self.channels, self.size, self.size


KINDS = {
    "digits": Kind(10, 1, 8, 8),
    "mnist": Kind(10, 1, 28, 28),
    "cifar10": Kind(10, 3, 32, 32),
    "cifar100": Kind(100, 3, 32, 32),
    "tinyimagenet": Kind(200, 3, 64, 64),
    "imagenet": Kind(1000, 3, 224, 256),
}
