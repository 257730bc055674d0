"""Where the images come from: scikit-learn, torchvision's downloads, or a folder or archive of classes.

A folder or archive holds ``train/<class>/<image>`` and ``test/<class>/<image>`` (or ``val``). It is decoded once, into
a cache of bytes that later runs and other processes map into memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor
from tqdm import tqdm

from benchmarks.training.archives import examples
from benchmarks.training.images import Images
from benchmarks.training.kinds import KINDS, Kind

#: address and MD5
TINY_IMAGENET = ("http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de")


@dataclass(frozen=True)
class Source:
    """Where to look for data.

    Attributes:
        paths: ``(name, path)`` of folders and archives that the user has.
        cache: the folder of what was decoded and downloaded.
        download: whether to download what is neither.
    """

    paths: tuple[tuple[str, Path], ...] = ()
    cache: Path = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "torch_synflow"
    download: bool = False


@lru_cache(maxsize=2)
def load(name: str, source: Source) -> tuple[Images, Images]:
    """The train and the test part.

    Raises:
        FileNotFoundError: if the data are nowhere, saying where to put them.
    """
    if name == "digits":
        return _digits()
    return _read(name, prepare(name, source))


def prepare(name: str, source: Source) -> Path | None:
    """Decode a data set unless that is done; returns the folder of the cache."""
    if name == "digits":
        return None
    path = dict(source.paths).get(name)
    if path is not None:
        return _cached(source.cache / f"{name}-{_identity(path)}", lambda: examples(path, KINDS[name]), name)
    downloaded = source.cache / f"{name}-downloaded"
    if source.download and name != "imagenet":
        if not downloaded.is_dir():
            with _alone(name, source.cache):
                _cached(downloaded, lambda: _downloaded(name, source.cache / "downloads"), name)
        return downloaded
    there = sorted(folder for folder in source.cache.glob(f"{name}-*") if folder.is_dir())
    if len(there) == 1:
        return there[0]
    if there:
        names = ", ".join(folder.name for folder in there)
        raise FileNotFoundError(f"{name}: {source.cache} holds several ({names}); say --data {name}=PATH")
    how = "" if name == "imagenet" else ", or let --download get it"
    raise FileNotFoundError(
        f"{name}: no data: give --data {name}=PATH, a folder or an archive with train/<class>/ and test/<class>/{how}"
    )


@contextmanager
def _alone(name: str, cache: Path) -> Iterator[None]:
    """Keep other processes from downloading the same to the same place; the system drops the lock of a killed one."""
    (cache / "downloads").mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / "downloads" / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{name}: waiting for another process that downloads it to {cache}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _digits() -> tuple[Images, Images]:
    from benchmarks.training.digits import digits

    parts = []
    for part in digits():
        images, labels = part.tensors
        parts.append(((images * 255).round().to(torch.uint8), labels))
    mean, deviation = _statistics(parts[0][0])
    return tuple(Images(*part, mean, deviation, 8, "scikit-learn") for part in parts)  # type: ignore[return-value]


def _identity(path: Path) -> str:
    """A name for what is at a path: it changes with the place, the size and the time of the last change."""
    try:
        found = path.resolve(strict=True).stat()
    except FileNotFoundError:
        raise FileNotFoundError(f"--data: expected a folder or an archive, got {path}, which does not exist") from None
    return hashlib.sha256(f"{path.resolve()} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:8]


def _downloaded(name: str, folder: Path) -> tuple[list[tuple[str, int]], Iterator[tuple[int, Tensor]]]:
    """Part and label of every image, and the images, as torchvision downloads them, with its progress bar.

    Files that a killed process left unfinished have another checksum, and are downloaded again.
    """
    from torchvision import datasets
    from torchvision.datasets.utils import download_url

    kinds = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}
    parts = {}
    try:
        if name == "tinyimagenet":
            address, checksum = TINY_IMAGENET
            download_url(address, str(folder), "tiny-imagenet-200.zip", checksum)
        else:
            parts = {part: kinds[name](str(folder), train=part == "train", download=True) for part in ("train", "test")}
    except (OSError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise FileNotFoundError(f"{name}: could not be downloaded ({why}); give --data {name}=PATH") from error
    if name == "tinyimagenet":
        return examples(folder / "tiny-imagenet-200.zip", KINDS[name])
    rows: list[tuple[str, int]] = []
    images: list[Tensor] = []
    for part, found in parts.items():
        pixels = torch.as_tensor(found.data)
        images += pixels[:, None] if pixels.dim() == 3 else pixels.permute(0, 3, 1, 2)
        rows += [(part, int(label)) for label in found.targets]
    return rows, iter(enumerate(images))


def _cached(
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
        parts = {part: _map(unfinished / f"{part}.images", count, kind) for part, count in counts.items()}
        for index, image in tqdm(decoded, f"Decoding {name}", len(rows), unit="image", leave=False):
            part = rows[index][0]
            parts[part][index if part == "train" else index - counts["train"]] = image
        digest = hashlib.sha256(repr(rows).encode())
        for images in parts.values():
            for some in images.split(4096):
                digest.update(some.numpy().tobytes())
        mean, deviation = _statistics(parts["train"])
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


def _map(path: Path, count: int, kind: Kind) -> Tensor:
    """A file of bytes as a tensor of images."""
    shape = (count, kind.channels, kind.stored, kind.stored)
    size = count * kind.channels * kind.stored**2
    return torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8).view(shape)


def _statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, from 0 to 1."""
    total, squares, count = 0.0, 0.0, images.numel() / images.shape[1]
    for some in images.split(4096):
        values = some.to(torch.float64) / 255
        total, squares = total + values.sum((0, 2, 3)), squares + values.square().sum((0, 2, 3))
    mean = torch.as_tensor(total / count)
    deviation = (squares / count - mean.square()).sqrt()
    return tuple(round(float(v), 6) for v in mean), tuple(round(float(v), 6) for v in deviation)


def _read(name: str, folder: Path | None) -> tuple[Images, Images]:
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
