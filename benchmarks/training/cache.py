"""Decoded images on the disk: written once, whole or not at all, and mapped into memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.training.images import Images
from benchmarks.training.kinds import KINDS, Kind


def cached(
    folder: Path, listed: Callable[[], tuple[list[tuple[str, int]], Iterable[tuple[int, Tensor]]]], name: str
) -> Path:
    """Write the decoded images into a new folder, which gets its name when it is whole."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    kind = KINDS[name]
    rows, decoded = listed()
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    try:
        counts = {part: sum(row[0] == part for row in rows) for part in ("train", "test")}
        parts = {part: _reserved(unfinished / f"{part}.images", count, kind) for part, count in counts.items()}
        written = torch.zeros(len(rows), dtype=torch.bool)
        for index, image in tqdm(decoded, f"Decoding {name}", len(rows), unit="image", leave=False):
            part = rows[index][0]
            parts[part][index if part == "train" else index - counts["train"]] = image
            written[index] = True
        if not written.all():
            raise ValueError(
                f"--data {name}: expected {len(rows)} images, got {int(written.sum())}; fetch the data again"
            )
        digest = hashlib.sha256(repr(rows).encode())
        for images in parts.values():
            for some in images.split(4096):
                digest.update(some.numpy().tobytes())
        mean, deviation = statistics(parts["train"])
        del parts
        labels = {part: [label for at, label in rows if at == part] for part in counts}
        about = {"mean": mean, "deviation": deviation, "fingerprint": digest.hexdigest()[:12], "labels": labels}
        (unfinished / "about.json").write_text(json.dumps(about))
        try:
            unfinished.rename(folder)
        except OSError:  # another process was first
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _size(count: int, kind: Kind) -> int:
    return count * kind.channels * kind.stored**2


def _reserved(path: Path, count: int, kind: Kind) -> Tensor:
    """A new file of bytes as a tensor of images, its space on the disk reserved: writing to a full one would crash."""
    size = _size(count, kind)
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate") and size:
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                for start in range(0, size, 1 << 20):
                    file.write(bytes(min(1 << 20, size - start)))
    except OSError as error:
        raise OSError(
            f"--cache: {path.parent.parent} has no room for {size:,} bytes of decoded images ({error.strerror}); make "
            "room, or give --cache another folder"
        ) from error
    return _map(path, count, kind)


def _map(path: Path, count: int, kind: Kind) -> Tensor:
    """A file of bytes as a tensor of images."""
    expected, found = _size(count, kind), path.stat().st_size
    if found != expected:  # which mapping would fill up with zeros
        raise ValueError(
            f"--cache: expected {expected:,} bytes in {path}, got {found:,}; delete {path.parent} and run again"
        )
    shape = (count, kind.channels, kind.stored, kind.stored)
    return torch.from_file(str(path), shared=True, size=expected, dtype=torch.uint8).view(shape)


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, from 0 to 1."""
    total, squares, count = 0.0, 0.0, images.numel() / images.shape[1]
    for some in images.split(4096):
        values = some.to(torch.float64) / 255
        total, squares = total + values.sum((0, 2, 3)), squares + values.square().sum((0, 2, 3))
    mean = torch.as_tensor(total / count)
    deviation = (squares / count - mean.square()).sqrt()
    return tuple(round(float(v), 6) for v in mean), tuple(round(float(v), 6) for v in deviation)


def read(name: str, folder: Path | None) -> tuple[Images, Images]:
    """The parts of a cache, mapped into memory."""
    assert folder is not None
    about, kind = json.loads((folder / "about.json").read_text()), KINDS[name]
    parts = []
    for part in ("train", "test"):
        labels = torch.tensor(about["labels"][part])
        images = _map(folder / f"{part}.images", len(labels), kind)
        mean, deviation = tuple(about["mean"]), tuple(about["deviation"])
        parts.append(Images(images, labels, mean, deviation, kind.size, about["fingerprint"]))
    return parts[0], parts[1]
