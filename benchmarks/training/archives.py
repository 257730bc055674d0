"""Images in a folder or an archive: ``train/<class>/<image>`` and ``test/<class>/<image>`` (or ``val``)."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from benchmarks.training.kinds import Kind

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
Place = tuple[str, str, str]  # part, class, name


def _listed(path: Path) -> tuple[list[str], Callable[[list[str]], Iterator[tuple[str, bytes]]]]:
    """The names of the files in a folder or an archive, and a function that reads those chosen, in any order."""
    if path.is_dir():
        names = [p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()]
        return names, lambda chosen: ((name, (path / name).read_bytes()) for name in chosen)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return archive.namelist(), lambda chosen: _unzip(path, chosen)
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            return [m.name for m in archive if m.isfile()], lambda chosen: _untar(path, set(chosen))
    raise ValueError(f"--data: expected a folder, a tar or a zip archive, got {path}")


def _unzip(path: Path, chosen: list[str]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name in chosen:
            yield name, archive.read(name)


def _untar(path: Path, chosen: set[str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:  # in the order of the archive: going back would decompress it again
            file = archive.extractfile(member) if member.name in chosen else None
            if file is not None:
                yield member.name, file.read()


def _place(name: str) -> Place | None:
    """Part, class and name of an image, from its path: ``.../train/<class>/.../<name>``."""
    parts = PurePosixPath(name).parts
    for index, part in enumerate(parts[:-2]):
        if part in ("train", "test", "val"):
            return ("train" if part == "train" else "test"), parts[index + 1], name
    return None


def examples(path: Path, kind: Kind) -> tuple[list[tuple[str, int]], Iterator[tuple[int, Tensor]]]:
    """Part and label of every image, sorted; and the decoded images with their places in that order."""
    names, read = _listed(path)
    found = [(name, _place(name)) for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    if any("val/images/" in name for name in names):
        found = _published_tiny_imagenet(found, names, read)
    places = sorted((place[0] != "train", place[1], name) for name, place in found if place)
    classes = sorted({label for _, label, _ in places})
    parts = {test for test, _, _ in places}
    if parts != {False, True} or len(classes) != kind.classes:
        raise ValueError(
            f"--data: expected train/<class>/ and test/<class>/ with images of {kind.classes} classes, got "
            f"{len(classes)} classes in {['no part', 'one part', 'two parts'][len(parts)]} in {path}"
        )
    where = {name: i for i, (_, _, name) in enumerate(places)}
    rows = [("test" if test else "train", classes.index(label)) for test, label, _ in places]

    def decoded() -> Iterator[tuple[int, Tensor]]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            chunk: list[tuple[int, bytes]] = []
            for name, content in read([name for _, _, name in places]):
                chunk.append((where[name], content))
                if len(chunk) == 512:
                    yield from pool.map(lambda item: (item[0], _decode(item[1], kind)), chunk)
                    chunk = []
            yield from pool.map(lambda item: (item[0], _decode(item[1], kind)), chunk)

    return rows, decoded()


def _published_tiny_imagenet(
    found: list[tuple[str, Place | None]], names: list[str], read: Callable[[list[str]], Iterator[tuple[str, bytes]]]
) -> list[tuple[str, Place | None]]:
    """Places in Tiny ImageNet as it is published: the labels of its validation images are in a text file.

    What it calls test has no labels; the validation images are what everybody tests on.
    """
    ((_, text),) = read([name for name in names if name.endswith("val_annotations.txt")])
    labels = dict(line.split("\t")[:2] for line in text.decode().splitlines())
    places: list[tuple[str, Place | None]] = []
    for name, place in found:
        if "val/images/" in name:
            places.append((name, ("test", labels[PurePosixPath(name).name], name)))
        elif place is not None and place[0] == "train":
            places.append((name, place))
    return places


def _decode(content: bytes, kind: Kind) -> Tensor:
    """One image as bytes: the shorter side scaled to the stored side, and the middle cut out."""
    import numpy as np
    from PIL import Image

    with Image.open(BytesIO(content)) as opened:
        image: Any = opened.convert("RGB" if kind.channels == 3 else "L")
    side = kind.stored
    if min(image.size) != side:
        scale = side / min(image.size)
        image = image.resize([max(side, round(length * scale)) for length in image.size], Image.Resampling.BILINEAR)
    left, top = ((length - side) // 2 for length in image.size)
    pixels = torch.from_numpy(np.array(image.crop((left, top, left + side, top + side))))
    return pixels.view(side, side, kind.channels).permute(2, 0, 1)
