"""Data that are damaged, incomplete or ambiguous are refused by name, and nothing of them is kept."""

from __future__ import annotations

import io
import lzma
import os
import resource
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
Image = pytest.importorskip("PIL.Image")

from benchmarks.training import archives  # noqa: E402
from benchmarks.training.datasets import Source, load, prepare  # noqa: E402


def png(value: int, kind: str = "PNG", side: int = 28) -> bytes:
    out = io.BytesIO()
    Image.new("L", (side, side), value).save(out, kind)
    return out.getvalue()


def files() -> dict[str, bytes]:
    """A tiny MNIST: one training and one test image of each digit."""
    return {f"{part}/{digit}/{part}.png": png(20 * digit + 1) for part in ("train", "test") for digit in range(10)}


def tar(path: Path, content: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def zipped(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def folder(path: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def refused(path: Path, message: str) -> None:
    cache = path.parent / "cache"
    with pytest.raises(ValueError, match=message):
        prepare("mnist", Source((("mnist", path),), cache))
    assert not [p for p in cache.glob("*") if p.is_dir()]  # nothing unfinished either


def test_a_tar_that_ends_at_a_block_is_refused(tmp_path: Path) -> None:
    whole = tar(tmp_path / "whole.tar", files())
    with tarfile.open(whole) as archive:
        last = archive.getmembers()[-1]
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[: last.offset])
    refused(cut, r"cut\.tar is damaged \(it ends before its end mark\); fetch it again")


def test_a_compressed_tar_that_is_cut_is_refused(tmp_path: Path) -> None:
    whole = tar(tmp_path / "whole.tar", files()).read_bytes()
    cut = tmp_path / "cut.tar.xz"
    packed = lzma.compress(whole)
    cut.write_bytes(packed[: len(packed) // 2])
    refused(cut, r"cut\.tar\.xz.* damaged")


def test_a_zip_with_a_damaged_member_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "images.zip", files())
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 255
    path.write_bytes(content)
    refused(path, r"images\.zip is damaged \(Bad CRC-32.*fetch it again")


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "images.tar", files())
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("train/3/train.png")
        member.size = len(png(9))
        archive.addfile(member, io.BytesIO(png(9)))
    refused(path, r"expected each file once .*images\.tar, got train/3/train\.png several times")


def test_hard_links_are_images_too(tmp_path: Path) -> None:
    path = tar(tmp_path / "images.tar", files())
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("train/3/second.png")
        link.type, link.linkname = tarfile.LNKTYPE, "train/3/train.png"
        archive.addfile(link)
    train, _ = load("mnist", Source((("mnist", path),), tmp_path / "cache"))
    assert train.labels.tolist().count(3) == 2


def test_a_class_that_one_part_lacks_is_refused(tmp_path: Path) -> None:
    content = files()
    del content["test/7/test.png"]
    refused(folder(tmp_path / "images", content), "got no test/7 in")


BROKEN: dict[str, Callable[[], bytes]] = {
    "text": lambda: b"no image", "empty": lambda: b"", "cut": lambda: png(3)[:45], "gif": lambda: png(3, "GIF"),
    "tiff": lambda: png(3, "TIFF"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_image_is_refused_by_name(what: str, tmp_path: Path) -> None:
    content = {**files(), "train/3/train.png": BROKEN[what]()}
    refused(folder(tmp_path / "images", content), r"train/3/train\.png is no image that can be read .*take it out")


def test_images_of_too_many_bytes_or_pixels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {**files(), "train/3/train.png": png(3, side=200)}
    monkeypatch.setattr(archives, "MOST_PIXELS", 10_000)
    refused(folder(tmp_path / "images", content), r"train/3/train\.png is no image .*200 x 200 pixels")
    monkeypatch.setattr(archives, "LARGEST", 10)
    refused(zipped(tmp_path / "images.zip", content), "images of at most 10 bytes")


def test_a_cache_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path / "images", files())
    source = Source((("mnist", path),), tmp_path / "cache")
    cached = prepare("mnist", source)
    assert cached is not None
    os.truncate(cached / "train.images", 5_000)
    with pytest.raises(ValueError, match=r"expected 7,840 bytes in .*train\.images, got 5,000; delete .*run again"):
        load("mnist", source)


def test_a_file_that_changes_far_below_gives_another_cache(tmp_path: Path) -> None:
    path = folder(tmp_path / "images", files())
    source = Source((("mnist", path),), tmp_path / "cache")
    before = prepare("mnist", source)
    assert prepare("mnist", source) == before
    (path / "train/3/train.png").write_bytes(png(222))
    assert prepare("mnist", source) != before


FULL = """
import resource, sys
from pathlib import Path
from benchmarks.training.datasets import Source, prepare
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    prepare("mnist", Source((("mnist", Path(sys.argv[1])),), Path(sys.argv[2])))
except OSError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on the size of files")
def test_a_disk_without_room_is_an_error_that_says_so(tmp_path: Path) -> None:
    path, cache = folder(tmp_path / "images", files()), tmp_path / "cache"
    done = subprocess.run([sys.executable, "-c", FULL, str(path), str(cache)], capture_output=True, text=True)
    assert done.returncode == 1, done
    assert "no room for 7,840 bytes of decoded images" in done.stderr
    assert "give --cache another folder" in done.stderr
    assert not list(cache.iterdir())
