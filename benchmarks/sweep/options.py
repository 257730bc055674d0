"""The options of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.arguments import density, not_negative, positive
from benchmarks.sweep.choice import Choice, check_fit
from benchmarks.sweep.methods import METHODS
from benchmarks.sweep.trial import MEASURES
from benchmarks.training.initialisations import INITIALISATIONS
from benchmarks.training.recipes import Recipe

FOLDER = "folder of the results (default benchmarks/results/trials)"


def parser(figures: Iterable[str]) -> argparse.ArgumentParser:
    """All commands and options. Options without a value are absent, so the given options are known."""
    whole = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, argument_default=argparse.SUPPRESS
    )
    commands = whole.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the figures")
    packing = commands.add_parser(
        "pack", help="fold finished results into one file per figure", argument_default=argparse.SUPPRESS,
        description="Fold results in single files into one file of JSON lines per figure, the first that has the "
        "trial. Sweeps can run at the same time.",
    )  # fmt: skip
    packing.add_argument("--results", type=Path, help=FOLDER)
    for command, what in (("run", "run the trials of a figure that have no result"), ("plot", "draw a figure")):
        sub = commands.add_parser(command, help=what, argument_default=argparse.SUPPRESS)
        sub.add_argument("figure", choices=list(figures), metavar="FIGURE", help="one of the figures of `list`")
        sub.add_argument("--results", type=Path, help=FOLDER)
        _which(sub)
        if command == "run":
            _where(sub)
        else:
            sub.add_argument("--out", type=Path, help="file to draw to: .png, .svg or .pdf")
            sub.add_argument("--reference", type=Path, help="CSV of the authors' accuracies, drawn as dashed lines")
    return whole


def _which(sub: argparse.ArgumentParser) -> None:
    """Options that select the trials."""
    group = sub.add_argument_group("which trials (defaults are the paper's)")
    add = group.add_argument
    add("--pair", nargs="+", metavar="DATASET/NETWORK")
    add("--seeds", type=positive(int), help="number of seeds")
    add("--methods", nargs="+", choices=METHODS)
    add("--densities", nargs="+", type=density, help="kept / total")
    add("--log10-compressions", nargs="+", type=float, help="log10 of total / kept, instead of --densities")
    add("--iterations", type=positive(int), help="iterations of iterative methods")
    add("--examples", type=positive(int), help="examples per class, for scoring")
    add("--measure", choices=MEASURES, help="run only this measurement of the figure")
    add(
        "--margin",
        type=positive(float),
        help="largest difference that counts as none, in points of accuracy (default 0.5)",
    )
    add("--budget", type=positive(int), help="largest number of trials of a search, including finished ones")
    add("--epochs-scale", type=positive(float), help="factor by which schedules become longer or shorter")
    for field in fields(Recipe):
        flag = "--" + field.name.replace("_", "-")
        if field.type == "bool":
            add(flag, action=argparse.BooleanOptionalAction)
        elif field.name == "drops":
            add(flag, nargs="*", type=not_negative(float), metavar="EPOCH")
        else:
            add(flag, type=TYPES[str(field.type)], choices=CHOICES.get(field.name))


def _where(sub: argparse.ArgumentParser) -> None:
    """Options that select where the trials run."""
    group = sub.add_argument_group("where they run")
    add = group.add_argument
    add("--dry-run", action="store_true", help="print the trials, their number and an estimate of the time")
    add("--executor", choices=("process", "ray"), help="run trials in this process (default) or on Ray")
    add("--device", help="cpu, cuda, ... (default: cuda if there is one)")
    add("--threads", type=positive(int), help="torch threads in this process")
    add("--address", help="address of a Ray cluster, or `auto`; by default, Ray starts on this machine")
    add("--workers", type=positive(int), help="CPUs for Ray on this machine")
    add("--cpus-per-trial", type=positive(float))
    add("--gpus-per-trial", type=positive(float), help="for example 0.25, so that four trials share a GPU")
    add("--retries", type=not_negative(int), help="restarts of a trial whose process died (default 2)")
    add("--data", nargs="+", metavar="NAME=PATH", help="a folder or archive with train/<class>/ and test/<class>/")
    add("--cache", type=Path, help="folder of decoded data")
    add("--download", action="store_true", help="download missing data")


TYPES: dict[str, Callable[[str], Any]] = {"int": positive(int), "float": not_negative(float), "str": str}
CHOICES = {
    "optimizer": ("sgd", "adamw"), "schedule": ("drops", "cosine"),
    "initialisation": tuple(INITIALISATIONS), "gamma": ("one", "uniform"),
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
        margin=given.get("margin"),
        budget=given.get("budget"),
        recipe=recipe,
    )
