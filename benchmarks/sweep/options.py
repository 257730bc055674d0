"""The options: which are there, what they choose, and which of them have no effect."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import estimate
from benchmarks.choice import Choice, check_fit
from benchmarks.datasets import Source
from benchmarks.executors import Executor, InProcess, OnRay
from benchmarks.figures import FIGURES
from benchmarks.figures.panels import Figure
from benchmarks.methods import METHODS
from benchmarks.recipes import Recipe
from benchmarks.trial import MEASURES, Trial


def positive(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A number above zero."""

    def parsed(text: str) -> Any:
        if not 0 < (value := kind(text)) < math.inf:
            raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
        return value

    return parsed


def not_negative(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A number of at least zero."""

    def parsed(text: str) -> Any:
        if not 0 <= (value := kind(text)) < math.inf:
            raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text}")
        return value

    return parsed


def density(text: str) -> float:
    """Kept / total."""
    if not 0 < (value := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"expected kept / total, above 0 and at most 1, got {text}")
    return value


def parser() -> argparse.ArgumentParser:
    """All commands and options. Options without a value given are absent, so that those given are known."""
    whole = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, argument_default=argparse.SUPPRESS
    )
    commands = whole.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the figures")
    for command, what in (("run", "run the trials of a figure that have no result"), ("plot", "draw a figure")):
        sub = commands.add_parser(command, help=what, argument_default=argparse.SUPPRESS)
        sub.add_argument("figure", choices=FIGURES, metavar="FIGURE", help="one of those that `list` shows")
        sub.add_argument("--results", type=Path, help="folder of the results (default benchmarks/results/trials)")
        _which(sub)
        if command == "run":
            _where(sub)
        else:
            sub.add_argument("--out", type=Path, help="file to draw to: .png, .svg or .pdf")
            sub.add_argument("--reference", type=Path, help="CSV of the authors' accuracies, drawn as dashed lines")
    return whole


def _which(sub: argparse.ArgumentParser) -> None:
    """Options that decide the trials."""
    group = sub.add_argument_group("which trials (defaults are the paper's)")
    add = group.add_argument
    add("--pair", nargs="+", metavar="DATASET/NETWORK")
    add("--seeds", type=positive(int), help="how many")
    add("--methods", nargs="+", choices=METHODS)
    add("--densities", nargs="+", type=density, help="kept / total")
    add("--log10-compressions", nargs="+", type=float, help="log10 of total / kept, instead of --densities")
    add("--iterations", type=positive(int), help="of the methods that iterate")
    add("--examples", type=positive(int), help="of each class, for scoring")
    add("--measure", choices=MEASURES, help="run this alone, of what the figure measures")
    add("--epochs-scale", type=positive(float), help="makes schedules shorter or longer, in proportion")
    for field in fields(Recipe):
        flag = "--" + field.name.replace("_", "-")
        if field.type == "bool":
            add(flag, action=argparse.BooleanOptionalAction)
        elif field.name == "drops":
            add(flag, nargs="*", type=not_negative(float), metavar="EPOCH")
        else:
            add(flag, type=TYPES[str(field.type)], choices=CHOICES.get(field.name))


def _where(sub: argparse.ArgumentParser) -> None:
    """Options that decide where the trials run."""
    group = sub.add_argument_group("where they run")
    add = group.add_argument
    add("--dry-run", action="store_true", help="print the trials, their number and an estimate of the time")
    add("--executor", choices=("process", "ray"), help="in this process (default), or on Ray")
    add("--device", help="cpu, cuda, ... (default: cuda if there is one)")
    add("--threads", type=positive(int), help="of torch, in this process")
    add("--address", help="of a Ray cluster; `auto` finds one; without it Ray is started on this machine")
    add("--workers", type=positive(int), help="CPUs that Ray may use on this machine")
    add("--cpus-per-trial", type=positive(float))
    add("--gpus-per-trial", type=positive(float), help="0.25 lets four trials share a GPU")
    add("--retries", type=not_negative(int), help="of a trial whose process died (default 2)")
    add("--data", nargs="+", metavar="NAME=PATH", help="a folder or archive with train/<class>/ and test/<class>/")
    add("--cache", type=Path, help="folder of decoded data")
    add("--download", action="store_true", help="download data that are not there")


TYPES: dict[str, Callable[[str], Any]] = {"int": positive(int), "float": not_negative(float), "str": str}
CHOICES = {
    "initialisation": ("fan_in", "fan_out", "variance_one"), "gamma": ("one", "uniform"),
    "augmentation": ("none", "shift", "resized_crop"), "precision": ("float32", "bfloat16"),
}  # fmt: skip


def choice_of(given: dict[str, Any]) -> Choice:
    """The choices among the options given."""
    if "densities" in given and "log10_compressions" in given:
        raise ValueError("--densities, --log10-compressions: expected one of them, got both")
    for pair in given.get("pair", ()):
        check_fit(pair)
    densities = given.get("densities") or [10**-ratio for ratio in given.get("log10_compressions", ())]
    if any(not 0 < d <= 1 for d in densities):
        raise ValueError(f"--log10-compressions: expected numbers of at least 0, got {given['log10_compressions']}")
    recipe = {field.name: given[field.name] for field in fields(Recipe) if field.name in given}
    if "drops" in recipe:
        recipe["drops"] = tuple(recipe["drops"])
    return Choice(
        pair=tuple(given["pair"]) if "pair" in given else None,
        methods=tuple(given["methods"]) if "methods" in given else None,
        densities=tuple(densities) or None,
        seeds=given.get("seeds"),
        iterations=given.get("iterations"),
        examples=given.get("examples"),
        measure=given.get("measure"),
        epochs_scale=given.get("epochs_scale", 1.0),
        recipe=recipe,
    )


def refuse_without_effect(figure: Figure, choice: Choice, given: dict[str, Any]) -> None:
    """Raise for an option that decides nothing of this figure's trials: another value gives the same trials."""
    names = {trial.name for trial in figure.trials(choice)}
    if not names:
        raise ValueError(f"{figure.name}: no trial is left: --methods or --measure leave out all that it shows")
    elsewhere = "digits/vgg_small" if choice.pair == ("digits/resnet_small",) else "digits/resnet_small"
    others = {
        "pair": (elsewhere,), "methods": tuple(METHODS), "densities": (0.123,),
        "measure": None, "seeds": (choice.seeds or 0) + 1,
    }  # fmt: skip
    for key in ("pair", "seeds", "methods", "densities", "iterations", "examples", "measure", "epochs_scale"):
        flag = "log10_compressions" if key == "densities" and "densities" not in given else key
        if flag not in given:
            continue
        value: Any = others[key] if key in others else getattr(choice, key) * 3 + 1
        if key == "methods" and set(choice.methods or ()) == set(METHODS):
            value = tuple(METHODS)[:1]
        _refuse(figure, replace(choice, **{key: value}), names, flag.replace("_", "-"))
        several = getattr(choice, key) if key in ("methods", "densities") else ()
        for one, typed in zip(several, given[flag] if several else (), strict=True):
            rest: Any = tuple(other for other in several if other != one)
            if rest:
                name = f"{typed:g}" if key == "densities" else typed
                _refuse(figure, replace(choice, **{key: rest}), names, f"{flag.replace('_', '-')} {name}")
    for key, value in choice.recipe.items():
        other: Any = (1.5,) if isinstance(value, tuple) else value * 3 + 1 if not isinstance(value, str) else None
        if isinstance(value, bool):
            other = not value
        if other is None:
            other = next(option for option in CHOICES[key] if option != value)
        _refuse(figure, replace(choice, recipe={**choice.recipe, key: other}), names, key.replace("_", "-"))


def _refuse(figure: Figure, other: Choice, names: set[str], flag: str) -> None:
    if {trial.name for trial in figure.trials(other)} == names:
        raise ValueError(f"--{flag}: has no effect on {figure.name} with these options; leave it out")


def source_of(given: dict[str, Any], trials: Sequence[Trial]) -> Source:
    """Where the data are, refusing what no trial needs."""
    needed = {trial.dataset for trial in trials if needs_data(trial)}
    paths = []
    for item in given.get("data", ()):
        name, equals, path = item.partition("=")
        if not equals or not path:
            raise ValueError(f"--data: expected NAME=PATH, got {item}")
        if name not in needed or name == "digits":
            raise ValueError(f"--data {name}: has no effect: no trial reads {name}; leave it out")
        paths.append((name, Path(path).expanduser().absolute()))
    if "download" in given and not needed - {name for name, _ in paths} - {"digits", "imagenet"}:
        raise ValueError("--download: has no effect: nothing to download for these trials; leave it out")
    if "cache" in given and not needed - {"digits"}:
        raise ValueError("--cache: has no effect: no trial reads data that are decoded; leave it out")
    plain = Source()
    return Source(tuple(paths), Path(given.get("cache", plain.cache)).expanduser().absolute(), "download" in given)


def needs_data(trial: Trial) -> bool:
    """Whether a trial reads images."""
    return trial.measure in ("accuracy", "magnitudes") or trial.examples > 0


def device_of(given: dict[str, Any]) -> str:
    """The device, checked; whether machines of a cluster have it shows there."""
    device: str = given.get("device") or estimate.default_device()
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f"--device: expected a device of torch, got {device}") from None
    here = "address" not in given or "dry_run" in given
    if kind == "cuda" and here and not torch.cuda.is_available():
        raise ValueError(f"--device: expected a device of this machine, got {device}: torch finds no GPU")
    return device


def _gpus(given: dict[str, Any], device: str) -> float:
    gpus: float = given.get("gpus_per_trial", 1 if device.startswith("cuda") else 0)
    return gpus


def at_a_time(given: dict[str, Any]) -> tuple[int, int | None]:
    """How many trials run at a time, one if a cluster decides that, and with how many threads if that is decided."""
    if given.get("executor") != "ray":
        return 1, given.get("threads")
    device, cpus = device_of(given), given.get("cpus_per_trial", 1)
    threads = max(1, int(cpus)) if device == "cpu" else None
    if "address" in given:
        return 1, threads
    slots = [(given.get("workers") or os.cpu_count() or 1) / cpus]
    if gpus := _gpus(given, device):
        slots.append(torch.cuda.device_count() / gpus)
    return max(1, int(min(slots))), threads


def executor_of(given: dict[str, Any], source: Source) -> Callable[[], Executor]:
    """What makes the executor, options checked before anything starts."""
    device = device_of(given)
    if given.get("executor") == "ray":
        if "threads" in given:
            raise ValueError("--threads: has no effect with --executor ray; --cpus-per-trial gives each its threads")
        if "workers" in given and "address" in given:
            raise ValueError("--workers: has no effect on a cluster; leave it out")
        gpus = _gpus(given, device)
        if gpus and not device.startswith("cuda"):
            raise ValueError("--gpus-per-trial: has no effect on the CPU; leave it out, or give --device cuda")
        return lambda: OnRay(
            source, device, given.get("address"), given.get("cpus_per_trial", 1), gpus, given.get("retries", 2),
            given.get("workers"),
        )  # fmt: skip
    for flag in ("address", "workers", "cpus_per_trial", "gpus_per_trial", "retries"):
        if flag in given:
            raise ValueError(f"--{flag.replace('_', '-')}: has no effect in this process; give --executor ray")
    return lambda: InProcess(source, device, given.get("threads"))
