"""Whether anything but the network costs time: ``python -m benchmarks.speed.throughput --pair cifar10/resnet20``.

Measured in one process and in turns, on a CPU as the time of the process: loading and augmenting batches alone; the
bare training loop over batches that are ready; training a pruned network as trials do, loading included; and, with
``--peer`` and a checkout of github.com/ganguli-lab/Synaptic-Flow, a whole trial as that script runs it (prune by
SynFlow, train an epoch, test) compared with the same trial here, on the same images.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.arguments import positive
from benchmarks.origin import RESULTS, save
from benchmarks.sweep.choice import split
from benchmarks.sweep.start import new_network
from benchmarks.sweep.trial import Trial
from benchmarks.sweep.where import default_device, source_of
from benchmarks.training.datasets import Source, load
from benchmarks.training.images import Images
from benchmarks.training.loop import accuracy, train
from benchmarks.training.recipes import Recipe, synflow
from torch_synflow import prune


def part(images: Images, count: int) -> Images:
    """The first images, evenly of all classes."""
    chosen = torch.arange(0, len(images), max(1, len(images) // count))[:count]
    return Images(images.images[chosen], images.labels[chosen], *list(vars(images).values())[2:])


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of some work: on a GPU until it is done there, on the CPU the time of this process."""
    if device.type == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def loading(images: Images, recipe: Recipe, device: torch.device) -> list[Any]:
    """The batches of an epoch."""
    generator = torch.Generator().manual_seed(0)
    return list(images.training_batches(recipe.batch, recipe.augmentation, generator, device))


def bare(model: nn.Module, batches: list[Any], recipe: Recipe) -> None:
    """The plainest loop over batches that are ready."""
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), recipe.rate, recipe.momentum, weight_decay=recipe.decay)
    model.train()
    for x, y in batches:
        optimiser.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimiser.step()


def whole(model: nn.Module, images: Images, test: Images, recipe: Recipe, ones: Tensor) -> None:
    """A trial here: prune by SynFlow to a tenth, train an epoch, test."""
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.9, example_inputs=ones)
    train(model, images, recipe, 0, test=test)


class Plain(torch.utils.data.Dataset[Any]):
    """Images one by one, as torchvision's data sets give them to the authors' script: as pictures, transformed."""

    def __init__(self, images: Images, augment: bool) -> None:
        from torchvision import transforms

        kept = images.images.permute(0, 2, 3, 1).numpy()
        self.pixels = kept if kept.shape[-1] == 3 else kept[..., 0]
        self.labels = images.labels.tolist()
        shift = [transforms.RandomCrop(images.size, padding=4), transforms.RandomHorizontalFlip()]
        usual = [transforms.ToTensor(), transforms.Normalize(images.mean, images.deviation)]
        self.transform = transforms.Compose([*(shift if augment else []), *usual])

    def __len__(self) -> int:
        """How many."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """An image and its label."""
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def theirs(
    checkout: Path, model: nn.Module, images: Images, test: Images, recipe: Recipe, device: torch.device
) -> None:
    """The same trial by the authors' pruner and training loop."""
    sys.path.insert(0, str(checkout))
    try:
        pruners, their_pruning, their_training = map(import_module, ("Pruners.pruners", "prune", "train"))
    except ImportError as error:
        raise SystemExit(
            f"--peer: expected a checkout whose modules can be imported, got {checkout}: {error}"
        ) from error
    modules = [module for module, _ in prune.prunable_parameters(model)]
    for module in modules:
        prune.identity(module, "weight")
    augment = recipe.augmentation == "shift"
    loaders = [
        torch.utils.data.DataLoader(Plain(part, a), batch_size=b, shuffle=a is not None)
        for part, a, b in ((images, augment, recipe.batch), (test, False, 256))
    ]
    pruner = pruners.SynFlow([(module.weight_mask, module.weight_orig) for module in modules])
    loss = nn.CrossEntropyLoss()
    their_pruning.prune_loop(model, loss, pruner, loaders[0], device, 0.1, "exponential", "global", 100)
    optimiser = torch.optim.SGD(
        model.parameters(), recipe.rate, recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.decay
    )
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, [], 0.1)
    their_training.train_eval_loop(model, loss, optimiser, scheduler, *loaders, device, 1, False)


def one_epoch(pair: str, *, channels_last: bool = False) -> Trial:
    """The trial of training a network for an epoch."""
    dataset, network = split(pair)
    recipe = replace(synflow(dataset, network).scaled(1e-9), channels_last=channels_last)
    return Trial(measure="accuracy", dataset=dataset, network=network, recipe=recipe)


def measure(
    pair: str,
    count: int,
    runs: int,
    device: torch.device,
    source: Source,
    peer: Path | None,
    *,
    channels_last: bool = False,
) -> dict[str, Any]:
    """Medians of several runs, in turns, as images per second and as ratios."""
    trial = one_epoch(pair, channels_last=channels_last)
    dataset, recipe = trial.dataset, trial.recipe
    images, test = (part(p, n) for p, n in zip(load(dataset, source), (count, count // 5), strict=True))
    images, test = images.to(device), test.to(device)

    def fresh() -> nn.Module:
        return new_network(trial).to(device)

    ones = torch.ones(1, images.images.shape[1], images.size, images.size, device=device)
    batches = loading(images, recipe, device)
    if channels_last:
        batches = [(x.contiguous(memory_format=torch.channels_last), y) for x, y in batches]
    for model in (fresh(), fresh()):  # the first passes of a process are slow
        bare(model, batches, recipe)
        accuracy(model, test, recipe)
    found: dict[str, list[float]] = {}
    for _ in range(runs):
        pruned, model, ours, peers = fresh(), fresh(), fresh(), fresh()
        prune.global_iterative_unstructured(pruned, prune.L1Unstructured, 0.9)
        parts: dict[str, Callable[[], object]] = {
            "loading": partial(loading, images, recipe, device),
            "bare": partial(bare, model, batches, recipe),
            "pruned": partial(train, pruned, images, recipe, 0),
        }
        if peer is not None:
            parts["trial"] = partial(whole, ours, images, test, recipe, ones)
            parts["trial_peer"] = partial(theirs, peer, peers, images, test, recipe, device)
        for name, work in parts.items():
            found.setdefault(name, []).append(seconds(work, device))
    times = {key: median(values) for key, values in found.items()}
    row = {
        "pair": pair, "images": len(images), "runs": runs, "channels_last": channels_last, "seconds": times,
        "images_per_second": {key: len(images) / times[key] for key in ("loading", "bare", "pruned")},
        "loading_to_training": times["pruned"] / times["loading"],
        "pruned_to_bare": times["bare"] / times["pruned"],
    }  # fmt: skip
    if peer is not None:
        row["trials_an_hour_to_peer"] = times["trial_peer"] / times["trial"]
    return row


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.throughput", description=__doc__)
    parser.add_argument("--pair", nargs="+", default=["digits/vgg_small"], metavar="DATASET/NETWORK")
    parser.add_argument("--images", type=positive(int), default=5000, help="number of training images (default 5000)")
    parser.add_argument("--runs", type=positive(int), default=3, help="number of runs for medians (default 3)")
    parser.add_argument(
        "--channels-last", action="store_true", help="for our code; the authors' code has no such option"
    )
    parser.add_argument("--device", default=default_device())
    parser.add_argument("--data", nargs="+", metavar="NAME=PATH", help="a folder or archive of images")
    parser.add_argument("--cache", type=Path, help="folder of decoded data")
    parser.add_argument("--peer", type=Path, help="a checkout of the SynFlow authors' code")
    parser.add_argument("--out", type=Path, default=RESULTS / "throughput.json")
    options = parser.parse_args()
    given = {name: value for name in ("data", "cache") if (value := getattr(options, name)) is not None}
    try:
        source = source_of(given, [one_epoch(pair) for pair in options.pair])
    except ValueError as error:
        parser.error(str(error))
    rows, device = [], torch.device(options.device)
    for pair in options.pair:
        row = measure(
            pair, options.images, options.runs, device, source, options.peer, channels_last=options.channels_last
        )
        rows.append(row)
        print(f"{pair}, {row['images']} images:")
        for key, value in row["images_per_second"].items():
            print(f"  {key:<8}{value:12,.0f} images/s")
        print(f"  loading is {row['loading_to_training']:.1f} times as fast as training")
        print(f"  a pruned network trains at {row['pruned_to_bare']:.2f} of the bare loop", flush=True)
        if options.peer is not None:
            print(f"  trials per hour: {row['trials_an_hour_to_peer']:.2f} times the authors'", flush=True)
    save(options.out, {"rows": rows}, parser.prog, options.device)


if __name__ == "__main__":
    main()
