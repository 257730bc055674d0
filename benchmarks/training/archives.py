"""Images in a folder or an archive: ``train/<class>/<image>`` and ``test/<class>/<image>`` (or ``val``)."""

from __future__ import annotations

import lzma
import os
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from benchmarks.training.kinds import Kind

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
#: what is opened, whatever a file is called
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
#: bytes of one file, and pixels of one image
LARGEST, MOST_PIXELS = 64 << 20, 50_000_000
#: what reading a damaged archive raises
DAMAGES = (EOFError, OSError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
Place = tuple[str, str, str]  # part, class, name


def _listed(path: Path) -> tuple[list[str], Callable[[list[str]], Iterator[tuple[str, bytes]]]]:
    """The names of the files in a folder or an archive, and a function that reads those chosen, in any order."""
    if path.is_dir():
        sizes = [(p.relative_to(path).as_posix(), p.stat().st_size) for p in path.rglob("*") if p.is_file()]
        return _checked(path, sizes), lambda chosen: ((name, (path / name).read_bytes()) for name in chosen)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                sizes = [(info.filename, info.file_size) for info in archive.infolist() if not info.is_dir()]
            return _checked(path, sizes), lambda chosen: _whole(path, _unzip(path, chosen))
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as tar:
                sizes = [(m.name, m.size) for m in tar if m.isfile() or m.islnk()]
                _require_end(path, tar)
            return _checked(path, sizes), lambda chosen: _whole(path, _untar(path, set(chosen)))
    except DAMAGES as error:
        raise _damaged(path, error) from error
    raise ValueError(f"--data: expected a folder, a tar or a zip archive, got {path}, which is none or is damaged")


def _checked(path: Path, sizes: list[tuple[str, int]]) -> list[str]:
    """The names, each of which must be there once and be no larger than an image can be."""
    names = [name for name, _ in sizes]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"--data: expected each file once in {path}, got {twice[0]} several times; create it again")
    large = [name for name, size in sizes if size > LARGEST and PurePosixPath(name).suffix.lower() in SUFFIXES]
    if large:
        raise ValueError(
            f"--data: expected images of at most {LARGEST:,} bytes, got a larger one: {large[0]} in {path}"
        )
    return names


def _require_end(path: Path, tar: tarfile.TarFile) -> None:
    """Raise if an archive ends before the empty block that marks its end."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it ends before its end mark")


def _damaged(path: Path, error: Exception) -> ValueError:
    why = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"--data: {path} is damaged ({why}); fetch it again")


def _whole(path: Path, files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """The files of an archive; where it turns out to be damaged, the error names it."""
    try:
        yield from files
    except DAMAGES as error:
        raise _damaged(path, error) from error


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
    for label in classes:
        missing = {False, True} - {test for test, other, _ in places if other == label}
        if missing:
            part = "test" if True in missing else "train"
            raise ValueError(
                f"--data: expected images of each class in train and test, got no {part}/{label} in {path}"
            )
    where = {name: i for i, (_, _, name) in enumerate(places)}
    rows = [("test" if test else "train", classes.index(label)) for test, label, _ in places]

    def decode(file: tuple[str, bytes]) -> tuple[int, Tensor]:
        name, content = file
        return where[name], _decode(name, content, kind)

    def decoded() -> Iterator[tuple[int, Tensor]]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            chunk: list[tuple[str, bytes]] = []
            for name, content in read([name for _, _, name in places]):
                chunk.append((name, content))
                if len(chunk) == 512:
                    yield from pool.map(decode, chunk)
                    chunk = []
            yield from pool.map(decode, chunk)

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


def _decode(name: str, content: bytes, kind: Kind) -> Tensor:
    """One image as bytes: the shorter side scaled to the stored side, and the middle cut out."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise ValueError(f"it has {opened.width} x {opened.height} pixels")
            image: Any = opened.convert("RGB" if kind.channels == 3 else "L")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, OSError, SyntaxError, ValueError) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"--data: {name} is no image that can be read ({why}); replace it or take it out") from error
    side = kind.stored
    if min(image.size) != side:
        scale = side / min(image.size)
        image = image.resize([max(side, round(length * scale)) for length in image.size], Image.Resampling.BILINEAR)
    left, top = ((length - side) // 2 for length in image.size)
    pixels = torch.from_numpy(np.array(image.crop((left, top, left + side, top + side))))
    return pixels.view(side, side, kind.channels).permute(2, 0, 1)
