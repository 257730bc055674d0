"""Folders, tar and zip archives of the same images become the same bytes, once; what is missing is said."""

from __future__ import annotations

import io
import multiprocessing
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

pytest.importorskip("sklearn")
Image = pytest.importorskip("PIL.Image")
np = pytest.importorskip("numpy")

from benchmarks.training.datasets import KINDS, Source, load, prepare  # noqa: E402


def png(value: int, side: int = 28) -> bytes:
    out = io.BytesIO()
    pixels = np.full((side, side), value, dtype=np.uint8)
    pixels[0, 0] = 255 - value
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny MNIST: two training images and one test image of each digit; the file names are not in order."""
    for part, names in (("train", ("b", "a")), ("test", ("c",))):
        for digit in range(10):
            place = tmp_path / "images" / part / str(digit)
            place.mkdir(parents=True)
            for offset, name in enumerate(names):
                (place / f"{name}.png").write_bytes(png(10 * digit + offset))
    (tmp_path / "images" / "LICENSE").write_text("free")
    return tmp_path / "images"


def packed(folder: Path, kind: str) -> Path:
    path = folder.parent / f"images.{kind}"
    files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.name)
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, f"mnist/{file.relative_to(folder)}")
    else:
        with tarfile.open(path, "w:xz") as archive:
            for file in files:
                archive.add(file, str(file.relative_to(folder)))
    return path


def test_folder_tar_and_zip_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    found = []
    for path in (folder, packed(folder, "tar.xz"), packed(folder, "zip")):
        train, test = load("mnist", Source((("mnist", path),), tmp_path / f"cache-{path.suffix}"))
        found.append((train.images, train.labels, test.images, test.labels))
        assert train.images.shape == (20, 1, 28, 28)
        assert train.labels.tolist() == [n // 2 for n in range(20)]
        assert train.images[:, 0, 5, 5].tolist() == [10 * (n // 2) + 1 - n % 2 for n in range(20)]  # a before b
        assert test.labels.tolist() == list(range(10))
        assert abs(train.mean[0] - float(train.images.double().mean()) / 255) < 1e-6
        assert train.fingerprint == test.fingerprint
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_the_cache_is_used_without_the_source_and_replaced_when_the_source_changes(
    folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    first = prepare("mnist", Source((("mnist", folder),), cache))
    shutil.rmtree(folder / "test")
    assert prepare("mnist", Source((), cache)) == first
    archive = packed(folder, "zip")
    with pytest.raises(ValueError, match=r"expected train/<class>/ and test/<class>/ .* in one part"):
        prepare("mnist", Source((("mnist", archive),), cache))
    assert [p.name for p in cache.iterdir()] == [first.name if first else ""]  # nothing unfinished stays


def test_several_processes_may_decode_at_once(folder: Path, tmp_path: Path) -> None:
    source = Source((("mnist", folder),), tmp_path / "cache")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        places = pool.starmap(prepare, [("mnist", source)] * 3)
    assert len(set(places)) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert len(load("mnist", source)[0]) == 20


def test_tiny_imagenet_as_it_is_published(tmp_path: Path) -> None:
    names = [f"n{number:08d}" for number in range(200)]
    path = tmp_path / "tiny.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(f"tiny-imagenet-200/train/{name}/images/{name}_0.png", png(number, 64))
        archive.writestr("tiny-imagenet-200/test/images/test_0.png", png(1, 64))  # without a label
        for number in range(200):
            archive.writestr(f"tiny-imagenet-200/val/images/val_{number}.png", png(number, 64))
        lines = [f"val_{number}.png\t{names[number]}\t0\t0\t62\t62\n" for number in range(200)]
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", "".join(lines))
    train, test = load("tinyimagenet", Source((("tinyimagenet", path),), tmp_path / "cache"))
    assert train.labels.tolist() == list(range(200))
    assert test.labels.tolist() == list(range(200))
    assert test.images[:, 0, 9, 9].tolist() == list(range(200))


def test_images_of_another_size_are_scaled_and_cut(tmp_path: Path, folder: Path) -> None:
    wide = Image.new("L", (112, 56), 40)
    wide.paste(200, (28, 0, 84, 56))  # the middle square
    wide.save(folder / "train" / "0" / "a.png")
    train, _ = load("mnist", Source((("mnist", folder),), tmp_path / "cache"))
    assert int(train.images[0, 0, 2:-2, 2:-2].min()) == 200


@pytest.mark.parametrize("name", ["cifar10", "imagenet"])
def test_missing_data_are_one_sentence_that_says_where_to_put_them(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{name}: no data: give --data {name}=PATH, a folder or an archive"):
        prepare(name, Source((), tmp_path))
    with pytest.raises(FileNotFoundError, match=r"got .*nowhere, which does not exist"):
        prepare(name, Source(((name, tmp_path / "nowhere"),), tmp_path))


def test_digits_come_with_the_library() -> None:
    train, test = load("digits", Source())
    assert (len(train), len(test), train.images.shape[1:]) == (1437, 360, KINDS["digits"].shape)
