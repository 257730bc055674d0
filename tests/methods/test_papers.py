"""Agreement with the papers: neuron collapse of SynFlow, and all five methods on real images."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import resnet, vgg
from torch_synflow import prune

# Real CIFAR-10 images as train/<class>/*.jpg, in an archive or a folder; the tests are skipped without.
CIFAR10 = Path(os.environ.get("TORCH_SYNFLOW_CIFAR10", Path(__file__).parents[3] / "shared/data/cifar10_jpg.tar.xz"))


def collapsed(model: nn.Module) -> float:
    """The percentage of convolution channels with nothing kept (neuron collapse)."""
    masks = [m.weight_mask for m in model.modules() if isinstance(m, nn.Conv2d)]
    empty = sum(int((mask.flatten(1).sum(1) == 0).sum()) for mask in masks)
    return 100.0 * empty / sum(len(mask) for mask in masks)


def torchvision_model(name: str, **kwargs: Any) -> nn.Module:
    return pytest.importorskip("torchvision.models").get_model(name, **kwargs)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("build", "size", "sparsity", "share"),
    [
        pytest.param(lambda: resnet(20), 32, 0.738, 31.0, id="resnet20"),
        pytest.param(lambda: vgg(16), 32, 0.931, 52.0, id="vgg16", marks=pytest.mark.slow),
        pytest.param(
            lambda: torchvision_model("resnet18", num_classes=200),
            64,
            0.965,
            69.0,
            id="resnet18",
            marks=pytest.mark.slow,
        ),
        pytest.param(lambda: torchvision_model("resnet50"), 224, 0.672, 29.0, id="resnet50", marks=pytest.mark.slow),
    ],
)
def test_synflow_collapses_as_many_neurons_as_in_the_paper(
    build: Callable[[], nn.Module], size: int, sparsity: float, share: float
) -> None:
    """Frankle et al. 2021, section 5: 31, 52, 69 and 29 % at the highest matching sparsities (2 points allowed)."""
    torch.manual_seed(0)
    model = initialise(build(), uniform_gamma=True)
    report = prune.global_iterative_unstructured(
        model, prune.SynFlow, sparsity, example_inputs=torch.ones(1, 3, size, size)
    )
    assert report.kept == report.total - round(sparsity * report.total)
    print(f"\nconvolution channels wholly pruned: {collapsed(model):.1f} %, in the paper {share:.0f} %")
    assert collapsed(model) == pytest.approx(share, abs=2.0)


@pytest.fixture(scope="module")
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Ten real images of each class, the first of each in the archive, normalised per channel."""
    if not CIFAR10.exists():
        pytest.skip(f"no CIFAR-10 images at {CIFAR10}; set TORCH_SYNFLOW_CIFAR10 to the archive")
    image_of = pytest.importorskip("PIL.Image")
    found: dict[str, list[torch.Tensor]] = {}
    with tarfile.open(CIFAR10) as archive:
        for member in archive:
            parts = Path(member.name).parts
            if member.isfile() and parts[-3] == "train" and len(found.setdefault(parts[-2], [])) < 10:
                picture = image_of.open(archive.extractfile(member)).convert("RGB")
                pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
                found[parts[-2]].append(pixels.view(32, 32, 3).permute(2, 0, 1).float() / 255)
            if len(found) == 10 and all(len(examples) == 10 for examples in found.values()):
                break
    assert len(found) == 10
    inputs = torch.stack([image for name in sorted(found) for image in found[name]])
    mean, std = inputs.mean((0, 2, 3), keepdim=True), inputs.std((0, 2, 3), keepdim=True)
    return (inputs - mean) / std, torch.arange(10).repeat_interleave(10)


def pruned(build: Callable[[], nn.Module], ratio: int, method: Any, batch: Any) -> tuple[prune.PruningReport, bool]:
    """What is kept at a compression ratio, printed, and whether a path from input to output is left."""
    torch.manual_seed(0)
    model = initialise(build(), mode="fan_out")
    params = prune.prunable_parameters(model, example_inputs=batch[0])
    total = sum(module.weight.numel() for module, _ in params)
    report = prune.global_iterative_unstructured(
        params, method, total - round(total / ratio), data=batch, loss_fn=F.cross_entropy
    )
    assert report.kept == round(total / ratio)
    connected = any(bool(score.any()) for score in prune.synflow_scores(model, batch[0]).values())
    print(f"\n{method.__name__} at compression {ratio}, {'a' if connected else 'no'} path left\n{report}")
    return report, connected


METHODS = [prune.RandomUnstructured, prune.L1Unstructured, prune.SNIP, prune.GraSP, prune.SynFlow]


@pytest.mark.parametrize("ratio", [10, 100, 1000])
@pytest.mark.parametrize("method", METHODS)
def test_resnet20_on_real_images(method: Any, ratio: int, images: Any) -> None:
    """SynFlow keeps a path: where it empties a block's branch it keeps the shortcut, or the other way round."""
    report, connected = pruned(lambda: resnet(20), ratio, method, images)
    if method is prune.SynFlow:
        assert connected
        assert not {"0.weight", "14.weight"} & set(report.empty_layers)
        assert [b for b, layers in _blocks(report).items() if "shortcut" in layers and layers - {"shortcut"}] == []


def _blocks(report: prune.PruningReport) -> dict[str, set[str]]:
    """The parts of each residual block that are empty, of blocks that have a shortcut convolution to lose."""
    blocks: dict[str, set[str]] = {}
    for name in report.empty_layers:
        block, part = name.split(".")[:2]
        blocks.setdefault(block, set()).add(part)
    return blocks


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [10, 100, 1000])
@pytest.mark.parametrize("method", METHODS)
def test_vgg16_on_real_images(method: Any, ratio: int, images: Any) -> None:
    """SynFlow keeps every layer of a chain; magnitude has no path left at 10^3 (Tanaka et al., figure 6: chance)."""
    report, connected = pruned(lambda: vgg(16), ratio, method, images)
    if method is prune.SynFlow:
        assert connected
        assert report.empty_layers == ()
    if method is prune.L1Unstructured:
        assert connected == (ratio < 1000)
