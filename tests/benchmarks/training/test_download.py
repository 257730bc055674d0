"""``--download``, with a server on this machine that has small files of the published formats."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import multiprocessing
import pickle
import struct
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")
published = pytest.importorskip("torchvision.datasets")

import benchmarks.training.datasets  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402
from benchmarks.training.datasets import Source, load, prepare  # noqa: E402

TRAIN, TEST = 20, 10


class Quiet(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        time.sleep(self.server.delay)  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):  # a client that was interrupted hangs up
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        """Nothing: the test's output is of what is tested."""


class Server(ThreadingHTTPServer):
    """Remembers what it was asked for, and answers after some seconds."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        self.asked: list[str] = []
        self.delay = 0.0


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "server") as own:
        yield own


@pytest.fixture
def server(own: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """Its address and the folder of its files."""
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    thread = threading.Thread(target=own.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{own.server_address[1]}", folder
    own.shutdown()
    thread.join()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def pixels(count: int, *shape: int) -> Any:
    return np.random.default_rng(count).integers(256, size=(count, *shape), dtype=np.uint8)


def publish_mnist(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    resources = []
    for name, count in (("train", TRAIN), ("t10k", TEST)):
        images = struct.pack(">4i", 2051, count, 28, 28) + pixels(count, 28, 28).tobytes()
        labels = struct.pack(">2i", 2049, count) + bytes(n % 10 for n in range(count))
        for kind, content in (("images-idx3", images), ("labels-idx1", labels)):
            file = folder / f"{name}-{kind}-ubyte.gz"
            file.write_bytes(gzip.compress(content))
            resources.append((file.name, md5(file.read_bytes())))
    monkeypatch.setattr(published.MNIST, "resources", resources)
    monkeypatch.setattr(published.MNIST, "mirrors", [f"{address}/"])
    return pixels(TRAIN, 28, 28)[:, None]


def publish_cifar(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch, classes: int) -> Any:
    kind = published.CIFAR10 if classes == 10 else published.CIFAR100
    key, names = ("labels", "label_names") if classes == 10 else ("fine_labels", "fine_label_names")
    images = {"train": pixels(TRAIN, 3, 32, 32), "test": pixels(TEST, 3, 32, 32)}
    lists: dict[str, list[list[str]]] = {"train": [], "test": []}
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as archive:
        files: dict[str, Any] = {kind.meta["filename"]: {names: [str(n) for n in range(classes)]}}
        for part, those in (("train", kind.train_list), ("test", kind.test_list)):
            for (name, _), some in zip(those, np.split(images[part], len(those)), strict=True):
                files[name] = {"data": some.reshape(len(some), -1), key: [n % classes for n in range(len(some))]}
                lists[part].append([name, md5(pickle.dumps(files[name]))])
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{kind.base_folder}/{name}")
            entry.size = len(pickle.dumps(content))
            archive.addfile(entry, io.BytesIO(pickle.dumps(content)))
    monkeypatch.setattr(published.CIFAR10, "url", f"{address}/cifar.tar.gz")
    monkeypatch.setattr(kind, "url", f"{address}/cifar.tar.gz")
    monkeypatch.setattr(kind, "tgz_md5", md5((folder / "cifar.tar.gz").read_bytes()))
    monkeypatch.setattr(kind, "train_list", lists["train"])
    monkeypatch.setattr(kind, "test_list", lists["test"])
    meta = {**kind.meta, "md5": md5(pickle.dumps(files[kind.meta["filename"]]))}
    monkeypatch.setattr(kind, "meta", meta)
    return images["train"]


def publish_tiny_imagenet(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    images = pixels(200, 64, 64, 3)
    with zipfile.ZipFile(folder / "tiny.zip", "w") as archive:
        for number, image in enumerate(images):
            out = io.BytesIO()
            Image.fromarray(image).save(out, "PNG")
            archive.writestr(f"tiny-imagenet-200/train/n{number:08d}/images/a.png", out.getvalue())
        for number in range(200):
            archive.writestr(f"tiny-imagenet-200/val/images/val_{number}.png", out.getvalue())
        lines = [f"val_{number}.png\tn{number:08d}\t0\t0\t62\t62\n" for number in range(200)]
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", "".join(lines))
    checksum = md5((folder / "tiny.zip").read_bytes())
    monkeypatch.setattr(benchmarks.training.datasets, "TINY_IMAGENET", (f"{address}/tiny.zip", checksum))
    return images.transpose(0, 3, 1, 2)


def publish(name: str, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put small files in the server's folder, and torchvision's addresses and checksums to those; the images."""
    if name == "mnist":
        return publish_mnist(address, folder, monkeypatch)
    if name == "tinyimagenet":
        return publish_tiny_imagenet(address, folder, monkeypatch)
    return publish_cifar(address, folder, monkeypatch, 10 if name == "cifar10" else 100)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "tinyimagenet"])
def test_what_is_downloaded_is_what_was_published(
    name: str, server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    images = publish(name, *server, monkeypatch)
    source = Source((), tmp_path / "cache", download=True)
    train, test = load(name, source)
    assert np.array_equal(train.images.numpy(), images)
    assert "100%" in capfd.readouterr().err  # a progress bar
    if name == "tinyimagenet":
        assert test.labels.tolist() == list(range(200))
    else:
        assert len(test) == TEST
    for file in server[1].iterdir():
        file.unlink()
    place = prepare(name, source)
    assert place == prepare(name, Source((), tmp_path / "cache"))  # the server is asked once


@pytest.mark.parametrize("name", ["mnist", "cifar10", "tinyimagenet"])
def test_a_file_that_a_killed_download_left_is_downloaded_again(
    name: str, server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = publish(name, *server, monkeypatch)
    place = tmp_path / "cache" / "downloads"
    half = {"mnist": "MNIST/raw/train-images-idx3-ubyte.gz", "cifar10": published.CIFAR10.filename}
    (place / half.get(name, "tiny-imagenet-200.zip")).parent.mkdir(parents=True)
    (place / half.get(name, "tiny-imagenet-200.zip")).write_bytes(b"half")
    (place / f"{name}.lock").touch()  # the file stays, the lock does not
    train, _ = load(name, Source((), tmp_path / "cache", download=True))
    assert np.array_equal(train.images.numpy(), images)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "tinyimagenet"])
def test_a_download_that_fails_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    publish(name, "http://127.0.0.1:9", tmp_path, monkeypatch)  # where nobody answers
    network = "lenet_300_100" if name == "mnist" else "resnet20"
    arguments = ["run", "frankle-3", "--pair", f"{name}/{network}", "--download", "--cache", str(tmp_path / "cache")]
    assert main([*arguments, "--results", str(tmp_path / "results")]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert line.startswith(f"error: {name}: could not be downloaded (")
    assert line.endswith(f"; give --data {name}=PATH")
    assert not (tmp_path / "results").exists()


def prepare_with(others: Barrier, tiny: tuple[str, str], cache: Path) -> None:
    """What a process of its own does."""
    benchmarks.training.datasets.TINY_IMAGENET = tiny
    others.wait()
    prepare("tinyimagenet", Source((), cache, download=True))


def test_of_two_processes_one_downloads_and_the_other_waits_for_it(
    own: Server, server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    images, cache = publish("tinyimagenet", *server, monkeypatch), tmp_path / "cache"
    prepare("tinyimagenet", Source((), tmp_path / "alone", download=True))
    alone, own.asked = own.asked, []
    assert set(alone) == {"/tiny.zip"}
    own.delay = 1.0  # so that the second would ask before the first has it
    spawn = multiprocessing.get_context("spawn")
    arguments = (spawn.Barrier(2), benchmarks.training.datasets.TINY_IMAGENET, cache)
    processes = [spawn.Process(target=prepare_with, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert own.asked == alone
    waiting = f"tinyimagenet: waiting for another process that downloads it to {cache}"
    assert capfd.readouterr().err.count(waiting) == 1
    assert np.array_equal(load("tinyimagenet", Source((), cache))[0].images.numpy(), images)
    assert [place.name for place in cache.glob("tinyimagenet-*")] == ["tinyimagenet-downloaded"]
