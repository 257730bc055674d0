"""Scores that are only rounding noise: the loss does not depend on a layer, but its gradient is not exactly zero."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch

from torch_synflow.model.parameters import Entry
from torch_synflow.model.threads import ONE_AT_A_TIME
from torch_synflow.scoring.data import batches
from torch_synflow.scoring.marked import and_others
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.opening import opened
from torch_synflow.scoring.task import Weights

_log = logging.getLogger("torch_synflow")
#: noise in float64 is 2e9 times smaller than in float32; a score does not change
SHRINKS = 1e-4


def require_no_noise(
    entries: Sequence[Entry],
    scores: Weights,
    network: Network,
    saliency: Callable[[Network], Weights],
    method: str,
    *,
    training: bool,
) -> None:
    """Raise a ``ValueError`` that names the entries whose scores are all rounding noise.

    If all scores of a tensor are smaller than the greatest score of the model by the square root of the precision, the
    first batch is scored again in float64. Noise shrinks with the precision, scores do not. If scoring already uses
    float64, noise cannot be detected.

    Args:
        entries: tensors without masks.
        scores: their scores, by key.
        network: the network that was scored.
        saliency: a function that scores an open network.
        method: the name of the method.
        training: whether it scores in training mode.
    """
    entries = [entry for entry in entries if entry.total]
    if network.dtype == torch.float64 or not entries:
        return
    greatest = torch.stack([scores[entry.key].abs().amax().double() for entry in entries]).tolist()
    bound = torch.finfo(network.dtype).eps ** 0.5 * max(greatest)
    small = {entry.key: (entry, top) for entry, top in zip(entries, greatest, strict=True) if 0 < top < bound}
    if not small:
        return
    exact = _in_float64(network, entries)
    try:
        with torch.random.fork_rng(devices=[network.device] if network.device.type == "cuda" else []):
            found = opened(exact, lambda: saliency(exact), training=training)
        again = {key: float(found[key].abs().max()) for key in small}
    except Exception as error:  # a loss function with its own float32 constants fails in float64
        names = ", ".join(entry.label for entry, _ in small.values())
        _log.info("%s: could not check whether small scores are rounding noise (%s): %s", method, names, error)
        return
    noise = [entry.label for entry, top in small.values() if again[entry.key] < SHRINKS * top]
    if noise:
        raise ValueError(
            f"{noise[0]}: every one of its {method} scores is rounding noise{and_others(noise)}; expected an "
            "input-output path through it that changes the loss: in this mode, a normalisation and a mean cancel its "
            "effect; leave such weights out"
        )


def _in_float64(network: Network, entries: Sequence[Entry]) -> Network:
    task, masks = network.task, [network.masks[entry.key] for entry in entries]
    data: Any = task.data
    if data is not None:
        data = list(islice(batches(data), 1))
    with ONE_AT_A_TIME, torch.inference_mode(False), torch.no_grad():
        return Network(replace(task, data=data, add_up=None), entries, masks, torch.float64)
