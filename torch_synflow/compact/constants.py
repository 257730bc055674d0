r"""Channels with one value for all inputs, places and steps of training; one of them can replace several.

A frozen weight turns two such channels, with the values :math:`a` and :math:`b`, into

.. math:: W_a a + W_b b = (W_a + W_b b / a) a,

which also holds with the zero padding of a convolution. If a weight that reads them is trained, this holds for only one
step, because the gradient of :math:`W_a` is different.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from torch_synflow.compact.cells import INPUT
from torch_synflow.compact.nodes import Flags, Recurrent, Weighted
from torch_synflow.compact.tracer import Tracer

Reads = dict[tuple[str, int], list[tuple[int, float]]]


@dataclass(frozen=True)
class Fold:
    """One input channel of a weight that another channel can replace.

    Attributes:
        weight: the name of the weight.
        channel: the channel that is folded.
        into: the channel that replaces it.
        ratio: the ratio of their values.
    """

    weight: str
    channel: int
    into: int
    ratio: float


def folds(tracer: Tracer, flags: Flags, once: set[str]) -> dict[int, list[Fold]]:
    """By class of cells to remove: the values that must then be added to weights.

    Args:
        tracer: after a pass.
        flags: of its cells.
        once: the names of parameters that one module holds.
    """
    classes = tracer.cells.classes()
    candidate = torch.zeros_like(flags.fixed)
    candidate[classes[flags.used & flags.fixed & ~flags.zero]] = True
    for cells in _other_readers(tracer, flags, once):
        candidate[classes[cells]] = False
    alike: dict[tuple[tuple[str, int, int], ...], dict[int, Reads]] = {}
    for one, reads in _reads(tracer, flags, classes, candidate).items():
        key = tuple(sorted((*where, len(found)) for where, found in reads.items()))
        alike.setdefault(key, {})[one] = reads
    found: dict[int, list[Fold]] = {}
    for group in alike.values():
        into = max(group, key=lambda one: min(abs(value) for reads in group[one].values() for _, value in reads))
        for one, reads in group.items():
            parts = None if one == into else _parts(reads, group[into])
            if parts is not None:
                found[one] = parts
    return found


def _other_readers(tracer: Tracer, flags: Flags, once: set[str]) -> list[Tensor]:
    """Cells that something reads in addition to frozen weights, or that are not always the same."""
    found = [torch.tensor([INPUT]), (flags.used & ~flags.fixed).nonzero()[:, 0]]
    found += [cells for cells, _ in tracer.cells.pins]
    for node in tracer.cells.nodes:
        if isinstance(node, Recurrent):
            found.append(node.source)
        elif isinstance(node, Weighted) and not (node.frozen and node.label in once):
            found.append(node.source[node.read(flags.used)])
    return found


def _reads(tracer: Tracer, flags: Flags, classes: Tensor, candidate: Tensor) -> dict[int, Reads]:
    """For each class the channels that weights read of it, in each of their calls, and their values."""
    found: dict[int, Reads] = {}
    for number, node in enumerate(tracer.cells.nodes):
        if not isinstance(node, Weighted) or node.seen is None:
            continue
        owners = classes[node.source]
        for channel in (candidate[owners] & node.read(flags.used)).nonzero()[:, 0].tolist():
            reads = found.setdefault(int(owners[channel]), {})
            reads.setdefault((node.label, number), []).append((channel, float(node.seen[channel])))
    return found


def _parts(reads: Reads, others: Reads) -> list[Fold] | None:
    """The values to add to the weights of the other class; ``None`` if its values do not allow it."""
    ratios: dict[tuple[str, int, int], float] = {}
    for where, channels in reads.items():
        for (channel, value), (into, other) in zip(channels, others[where], strict=True):
            if value and not other:
                return None
            ratio = value / other if value else 0.0
            before = ratios.setdefault((where[0], channel, into), ratio)
            if abs(before - ratio) > 1e-6 * abs(ratio):
                return None
    return [Fold(*place, ratio) for place, ratio in ratios.items()]


def fold(model: nn.Module, parts: list[Fold]) -> None:
    """Add input channels of weights to others, under their masks."""
    for part in parts:
        path, _, name = part.weight.rpartition(".")
        module = model.get_submodule(path)
        mask = module._buffers.get(f"{name}_mask")
        weight = module._parameters[name if mask is None else f"{name}_orig"]
        assert weight is not None
        with torch.no_grad():
            kept = weight if mask is None else weight * mask
            sums = kept[:, part.into] + part.ratio * kept[:, part.channel]
            weight[:, part.into] = sums
            if mask is not None:
                mask[:, part.into] = (sums != 0).to(mask)
