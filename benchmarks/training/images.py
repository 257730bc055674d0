"""Data sets as tensors of bytes: kept whole on the device, normalised and augmented there in batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

ON_DEVICE = 8 << 30  # bytes; a larger set stays where it is and is sent batch by batch


@dataclass(frozen=True)
class Images:
    """One part of a data set.

    Attributes:
        images: ``(n, channels, side, side)``, uint8.
        labels: ``(n,)``, int64.
        mean, deviation: of each channel of the training images, from 0 to 1.
        size: the side that the network sees; images are cropped to it.
        fingerprint: of the whole data set: names the exact bytes that a result comes from.
    """

    images: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    size: int
    fingerprint: str

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.labels)

    def to(self, device: torch.device) -> Images:
        """The same on a device, unless that is too much to hold there."""
        if self.images.nbytes > ON_DEVICE:
            return self
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def batch(self, chosen: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images as bytes, and labels, on the device."""
        where = chosen.to(self.labels.device)
        images, labels = self.images.index_select(0, where), self.labels.index_select(0, where)
        return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    def normalised(self, images: Tensor) -> Tensor:
        """Bytes as numbers of mean 0 and variance 1, in torch's default precision."""
        dtype = torch.get_default_dtype()
        mean, deviation = (_bytes(values, dtype, images.device) for values in (self.mean, self.deviation))
        return images.to(dtype).sub_(mean).div_(deviation)

    def training_batches(
        self, batch: int, augmentation: str, generator: torch.Generator, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in random order, augmented ("none", "shift", "resized_crop"); the last batch may be smaller."""
        for chosen in torch.randperm(len(self), generator=generator).split(batch):
            images, labels = self.batch(chosen, device)
            yield self.normalised(augmented(images, augmentation, self.size, generator)), labels

    def test_batches(self, batch: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order, the middle of each."""
        for chosen in torch.arange(len(self)).split(batch):
            images, labels = self.batch(chosen, device)
            yield self.normalised(middle(images, self.size)), labels

    def of_each_class(self, count: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """``count`` random training images of each class, not augmented, ordered by class."""
        chosen = []
        for label in range(int(self.labels.max()) + 1):
            members = (self.labels == label).nonzero().view(-1).cpu()
            if len(members) < count:
                raise ValueError(f"examples_per_class: expected at most {len(members)} of class {label}, got {count}")
            chosen.append(members[torch.randperm(len(members), generator=generator)[:count]])
        images, labels = self.batch(torch.cat(chosen), device)
        return self.normalised(middle(images, self.size)), labels


@lru_cache(maxsize=8)
def _bytes(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers of channels, from 0 to 1, as they are from 0 to 255; made once, as a small network would feel it."""
    return torch.tensor(values, dtype=dtype, device=device).view(-1, 1, 1) * 255


def middle(images: Tensor, size: int) -> Tensor:
    """The square of side ``size`` in the middle."""
    top = (images.shape[-1] - size) // 2
    return images[..., top : top + size, top : top + size]


def augmented(images: Tensor, kind: str, size: int, generator: torch.Generator) -> Tensor:
    """A batch of bytes changed at random, each image by itself; random numbers are drawn on the CPU."""
    if kind == "none":
        return middle(images, size)
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    if kind == "shift":
        return _shifted(images, 4, mirrored, generator)
    return _resized_crop(images, size, mirrored, generator)


def _shifted(images: Tensor, most: int, mirrored: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to ``most`` pixels, black beyond the edge, and mirror (Frankle et al. 2021, appendix A.2)."""
    count, channels, height, width = images.shape
    top, left = torch.randint(2 * most + 1, (2, count, 1), generator=generator)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = F.pad(images, (most, most, most, most))
    here = images.device
    return padded[
        torch.arange(count, device=here).view(-1, 1, 1, 1),
        torch.arange(channels, device=here).view(1, -1, 1, 1),
        rows.to(here)[:, None, :, None],
        columns.to(here)[:, None, None, :],
    ]


def _resized_crop(images: Tensor, size: int, mirrored: Tensor, generator: torch.Generator) -> Tensor:
    """A patch of 0.1 to 1 of the area, aspect ratio 0.8 to 1.25, resized to ``size`` (appendix A.2)."""
    area, aspect, x, y = torch.rand(4, len(images), generator=generator)
    area, aspect = 0.1 + 0.9 * area, torch.exp((2 * aspect - 1) * math.log(1.25))
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    zero = torch.zeros_like(area)
    across = torch.where(mirrored, -width, width)
    rows = [across, zero, (2 * x - 1) * (1 - width), zero, height, (2 * y - 1) * (1 - height)]
    theta = torch.stack(rows, 1).view(-1, 2, 3).to(images.device)
    grid = F.affine_grid(theta, [*images.shape[:2], size, size], align_corners=False)
    patches = F.grid_sample(images.to(torch.float32), grid, padding_mode="reflection", align_corners=False)
    return patches.round_().to(torch.uint8)
