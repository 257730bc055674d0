"""Scores of the parts of a sharded model, checked over all ranks, so that all ranks continue or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.prune import L1Unstructured, RandomUnstructured

from torch_synflow.flow.positive import PositiveNetwork
from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.methods.force import FORCEUnstructured, GraSPItUnstructured
from torch_synflow.methods.grasp import GraSPLowestUnstructured, GraSPMagnitudeUnstructured, GraSPUnstructured
from torch_synflow.methods.snip import SNIPUnstructured
from torch_synflow.methods.synflow import SynFlowUnstructured
from torch_synflow.model.layout import Layout
from torch_synflow.model.parameters import Entry
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.opening import differentiating, opened
from torch_synflow.selection.stream import ScoreStream

#: gives a tensor of every rank the greatest over all, in place
Greatest = Callable[[Tensor], object]
#: whose scores of an element depend on no other element but through the model
_ELEMENTWISE = (
    SNIPUnstructured, GraSPUnstructured, GraSPMagnitudeUnstructured, GraSPLowestUnstructured, FORCEUnstructured,
    GraSPItUnstructured,
)  # fmt: skip


class ScoresOfParts(ScoreStream):
    """The scores of the parts of this rank.

    Args:
        parts: the scores.
        greatest: of each whole tensor.
    """

    def __init__(self, parts: Sequence[Tensor], greatest: Sequence[float]) -> None:
        super().__init__(parts)
        self._greatest = greatest

    def is_positive(self, number: int) -> bool:
        """Whether a whole tensor has a score above zero."""
        return self._greatest[number] > 0


def refusal_of(method: type) -> str:
    """Why a method does not prune a sharded model, empty if it does."""
    if issubclass(method, SynFlowUnstructured) and method._computes_in_parts():
        return ""
    if method in (L1Unstructured, RandomUnstructured):
        return ""
    if issubclass(method, SaliencyUnstructured):
        known = [each.saliency.__func__ for each in _ELEMENTWISE]  # type: ignore[attr-defined]
        if method.saliency.__func__ in known:  # type: ignore[attr-defined]
            return ""
    return "its scores of one shard may depend on another"


def scores_of_network(
    method: type[SaliencyUnstructured], network: Network, entries: Sequence[Entry], greatest: Greatest
) -> ScoresOfParts:
    """The scores of the parts of this rank by a method that scores a model, checked over all ranks.

    Raises:
        ValueError: on all ranks, if the scores of a tensor are not finite, are negative although the method forbids it,
            or are all zero in an unpruned model. The message names the tensor.
    """
    if not isinstance(network, PositiveNetwork):
        found = opened(network, lambda: method.saliency(network), training=method.training)
        scores = [found[entry.key].detach() for entry in entries]
        fault, tops = _checked(method, network, entries, scores, greatest)
        if fault:
            raise ValueError(fault)
        return ScoresOfParts(scores, tops)
    assert issubclass(method, SynFlowUnstructured)  # which alone makes such networks
    fault = ""
    for mode in method._modes:
        if network.mode is method._modes[1] and mode is not network.mode:
            continue
        if network.mode is None or network.mode is not mode:
            network.sound = False
        stream = differentiating(network, lambda mode=mode: network.scores(mode))  # type: ignore[misc]
        network.mode = mode
        scores = [part for part, _ in stream.parts(range(len(entries)))]  # as they are, one for each
        fault, tops = _checked(method, network, entries, scores, greatest)
        if not fault and not (network.vanishing and mode is method._modes[0]):
            return ScoresOfParts(scores, tops)
        del stream, scores  # before there are those of the next mode
    raise ValueError(fault)


def _checked(
    method: type[SaliencyUnstructured],
    network: Network,
    entries: Sequence[Entry],
    scores: Sequence[Tensor],
    greatest: Greatest,
) -> tuple[str, list[float]]:
    """What is wrong with the scores of all ranks, empty if nothing is, and the greatest, or zero, of each tensor."""
    found = torch.zeros(3, len(entries), dtype=torch.float64, device=network.device)
    for number, score in enumerate(scores):
        if score.numel():
            low, high = (value.double() for value in torch.aminmax(score))
            finite = torch.isfinite(low) & torch.isfinite(high)
            found[:, number] = torch.stack([(~finite).double(), -low, high]).nan_to_num(0, 0, 0)
    greatest(found)
    signed = not isinstance(network, PositiveNetwork)
    for entry, (infinite, below, above) in zip(entries, found.t().tolist(), strict=True):
        if infinite:
            return f"{entry.label}: expected finite {method.__name__} scores, got NaN or infinity", []
        if not signed and below > 1e-6 * abs(above):
            return f"{entry.label}: expected positive {method.__name__} scores, got negative ones", []
        if network.unpruned and entry.key not in network.unused and not (below > 0 or above > 0):
            return (
                f"{entry.label}: every one of its {method.__name__} scores is zero; expected an input-output path "
                "through it; leave it out or initialise it"
            ), []  # fmt: skip
    return "", found[2].tolist()


def drawn(entry: Entry, layout: Layout | None) -> Tensor:
    """Random numbers for a tensor, as one process draws them for the whole of it, and of them the part."""
    if layout is None:
        return torch.rand_like(entry.parameter)
    like = entry.parameter
    return layout.part(
        torch.rand_like(torch.empty_strided(layout.shape, layout.stride, dtype=like.dtype, device=like.device))
    )


def drawn_of_survivors(
    entry: Entry, mask: Tensor, layout: Layout | None, gather: Callable[[Layout, Tensor], Tensor]
) -> Tensor:
    """The same for what is left of a tensor.

    Args:
        entry: the tensor, whose parameter is the part of this rank.
        mask: of the part.
        layout: of the tensor, ``None`` for one that every rank has the whole of.
        gather: the whole of parts.
    """
    whole = mask if layout is None else gather(layout, mask.to(torch.uint8)) != 0
    numbers = torch.zeros(whole.shape, dtype=entry.parameter.dtype, device=whole.device)
    alive = int(whole.count_nonzero())
    numbers[whole] = -torch.rand(alive, dtype=numbers.dtype, device=whole.device)
    return numbers if layout is None else layout.part(numbers)
