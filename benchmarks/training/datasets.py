"""Where the images come from: scikit-learn, torchvision's downloads, or a folder or archive of classes.

A folder or archive holds ``train/<class>/<image>`` and ``test/<class>/<image>`` (or ``val``). It is decoded once, into
a cache of bytes that later runs and other processes map into memory.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from benchmarks.training.archives import examples
from benchmarks.training.cache import cached, read, statistics
from benchmarks.training.images import Images
from benchmarks.training.kinds import KINDS

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
        FileNotFoundError: if the data are not found; the message says where to put them.
    """
    if name == "digits":
        return _digits()
    return read(name, prepare(name, source))


def prepare(name: str, source: Source) -> Path | None:
    """Decode a data set unless that is done; returns the folder of the cache."""
    if name == "digits":
        return None
    path = dict(source.paths).get(name)
    if path is not None:
        return cached(source.cache / f"{name}-{_identity(path)}", lambda: examples(path, KINDS[name]), name)
    downloaded = source.cache / f"{name}-downloaded"
    if source.download and name != "imagenet":
        if not downloaded.is_dir():
            with _alone(name, source.cache):
                cached(downloaded, lambda: _downloaded(name, source.cache / "downloads"), name)
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
    mean, deviation = statistics(parts[0][0])
    return tuple(Images(*part, mean, deviation, 8, "scikit-learn") for part in parts)  # type: ignore[return-value]


def _identity(path: Path) -> str:
    """A name for what is at a path: it changes with the place, and with the size and time of each file there."""
    try:
        found = path.resolve(strict=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"--data: expected a folder or an archive, got {path}, which does not exist") from None
    digest = hashlib.sha256(str(found).encode())
    for file in sorted(p for p in found.rglob("*") if p.is_file()) if found.is_dir() else [found]:
        about = file.stat()
        digest.update(f"{file.relative_to(found)} {about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:8]


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
