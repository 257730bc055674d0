"""Train step by step, so that a network can be pruned or rewound at any of them."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.training.images import Images
from benchmarks.training.recipes import Recipe
from torch_synflow import prune

EVALUATION_BATCH = 512


def train(
    model: nn.Module,
    images: Images,
    recipe: Recipe,
    seed: int,
    *,
    until: float | None = None,
    at: float | None = None,
    then: Callable[[nn.Module], None] | None = None,
    test: Images | None = None,
) -> dict[str, Any]:
    """Train a network on the device that it is on, from the start of the recipe's schedule.

    Args:
        model: the network, pruned or not.
        images: to train on.
        recipe: the schedule.
        seed: of the order of the images and of their augmentation.
        until: how many epochs of the schedule to train, all by default.
        at: calls ``then(model)`` after so many epochs, a fraction meaning that much of an epoch.
        then: see ``at``.
        test: measures the accuracy on these after each epoch, or once if no epoch is trained.

    Returns:
        The history, the accuracies in percent, whether the loss stayed finite, and images per second.
    """
    device = next(model.parameters()).device
    batches = math.ceil(len(images) / recipe.batch)
    last = round((recipe.epochs if until is None else until) * batches)
    call_at = -1 if at is None else round(at * batches)
    generator = torch.Generator().manual_seed(seed)
    optimiser = _optimiser(model, recipe)
    run: Any = torch.compile(model) if recipe.compile else model
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)
    history: list[list[float]] = []
    step, seconds, diverged = 0, 0.0, False
    if call_at == 0 and then is not None:
        then(model)
    with contextlib.ExitStack() as fold:
        fold.enter_context(prune.folded(model, optimiser))
        while step < last and not diverged:
            model.train()
            start, total = time.perf_counter(), torch.zeros((), device=device)
            begun = step
            for x, y in images.training_batches(recipe.batch, recipe.augmentation, generator, device):
                for group in optimiser.param_groups:
                    group["lr"] = recipe.rate_after(step / batches)
                if recipe.channels_last:
                    x = x.contiguous(memory_format=torch.channels_last)
                optimiser.zero_grad(set_to_none=True)
                with autocast(recipe, device):
                    loss = F.cross_entropy(run(x), y)
                loss.backward()
                optimiser.step()
                total += loss.detach()
                step += 1
                if step == call_at and then is not None:
                    fold.close()
                    then(model)
                    fold.enter_context(prune.folded(model, optimiser))
                if step == last:
                    break
            mean_loss = float(total) / (step - begun)  # the one wait for the device in an epoch
            seconds += time.perf_counter() - start
            diverged = not math.isfinite(mean_loss)
            row = [round(step / batches, 4), mean_loss if not diverged else -1.0]
            history.append([*row, accuracy(run, test, recipe)] if test is not None else row)
    found: dict[str, Any] = {
        "history": history,
        "diverged": diverged,
        "images_per_second": round(min(step, last) * recipe.batch / seconds, 1) if seconds else None,
        "training_seconds": round(seconds, 3),
    }
    if test is not None:
        accuracies = [row[-1] for row in history] or [accuracy(run, test, recipe)]
        found |= {"accuracy": accuracies[-1], "best_accuracy": max(accuracies)}
    return found


def _optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), recipe.rate, weight_decay=recipe.decay)
    return torch.optim.SGD(
        model.parameters(), recipe.rate, recipe.momentum, weight_decay=recipe.decay, nesterov=recipe.nesterov
    )


def autocast(recipe: Recipe, device: torch.device) -> Any:
    """Mixed precision where the recipe says so."""
    if recipe.precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@torch.no_grad()
def accuracy(model: nn.Module, images: Images, recipe: Recipe) -> float:
    """The share of the images that are recognised, in percent."""
    device = next(model.parameters()).device
    model.eval()
    right = torch.zeros((), dtype=torch.int64, device=device)
    for x, y in images.test_batches(EVALUATION_BATCH, device):
        with autocast(recipe, device):
            right += (model(x).argmax(1) == y).sum()
    return round(100 * int(right) / len(images), 4)
