"""SynFlow's iterations, as many bare passes of the same network, and the loop that torch's functions allow, timed."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from torch_synflow import prune
from torch_synflow.model.parameters import Entry
from torch_synflow.scoring.network import Network
from torch_synflow.selection.stream import ScoreStream


class TimedSynFlow(prune.SynFlow):
    """SynFlow that notes when each forward and backward pass began and how long it took."""

    notes: list[tuple[float, float]]

    @classmethod
    def score_entries(cls, entries: Sequence[Entry], network: Network) -> ScoreStream:
        """Score and note the time."""
        start = time.perf_counter()
        scores = super().score_entries(entries, network)
        cls.notes.append((start, time.perf_counter() - start))
        return scores


class TimedInFloat32(TimedSynFlow):
    """The same in float32, in which masks depend on the order of summation."""

    dtype = torch.float32


def inputs_of(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """One input of ones on the model's device."""
    return torch.ones(1, *shape, device=next(model.parameters()).device)


def finished(model: nn.Module) -> float:
    """The time when the model's device has done what it was told."""
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def ours(
    model: nn.Module, shape: tuple[int, ...], density: float, iterations: int, method: type[TimedSynFlow] = TimedSynFlow
) -> dict[str, Any]:
    """Seconds in all and by phase, and of the first and the last iteration.

    The gradients at the weights are taken, ranked and dropped a part at a time, so they count as selection.
    """
    method.notes = []
    start = finished(model)
    ends: list[tuple[float, int]] = []
    prune.global_iterative_unstructured(
        model,
        method,
        1 - density,
        example_inputs=inputs_of(model, shape),
        iterations=iterations,
        callback=lambda *_: ends.append((time.perf_counter(), len(method.notes))),
    )
    total = finished(model) - start
    scoring = [seconds for _, seconds in method.notes]
    # an iteration may score several times, and the first not at all where their density rounds to that before
    whole = [
        end - method.notes[before][0] for (_, before), (end, after) in pairwise([(start, 0), *ends]) if after > before
    ]
    return {
        "total": total,
        "forward and backward": sum(scoring),
        "gradients at weights, selection, masks": sum(whole) - sum(scoring),
        "attach and the rest": total - sum(whole),
        "last iteration / first": whole[-1] / whole[0],
    }


def bare_passes(model: nn.Module, shape: tuple[int, ...], iterations: int) -> float:
    """Seconds of dense forward and backward passes of the positive network in float32, nothing else."""
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    start = finished(model)
    for _ in range(iterations):
        model.zero_grad()
        model(inputs_of(model, shape)).sum().backward()
    return finished(model) - start


def stock_loop(model: nn.Module, shape: tuple[int, ...], density: float, iterations: int) -> float:
    """Seconds of scoring and of torch's ``global_unstructured`` in each iteration."""
    params = prune.prunable_parameters(model)
    total = sum(getattr(module, kind).numel() for module, kind in params)
    start, kept = finished(model), total
    for step in range(1, iterations + 1):
        keep = round(total * prune.exponential(step, iterations, density))
        scores = prune.synflow_scores(model, inputs_of(model, shape))
        torch_prune.global_unstructured(params, prune.SynFlow, importance_scores=scores, amount=kept - keep)
        kept = keep
    return finished(model) - start
