"""Scores of the parts of a sharded model, checked over all ranks, so that all ranks continue or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.prune import L1Unstructured, RandomUnstructured

from torch_synflow.flow.positive import PositiveNetwork
from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.methods.grasp import GraSPLowestUnstructured, GraSPMagnitudeUnstructured, GraSPUnstructured
from torch_synflow.methods.snip import SNIPUnstructured
from torch_synflow.methods.synflow import SynFlowUnstructured
from torch_synflow.model.layout import Layout
from torch_synflow.model.parameters import Entry
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.opening import differentiating, opened

#: gives a tensor of every rank the greatest over all, in place
Greatest = Callable[[Tensor], object]
#: whose scores of an element depend on no other element but through the model
_ELEMENTWISE = (SNIPUnstructured, GraSPUnstructured, GraSPMagnitudeUnstructured, GraSPLowestUnstructured)


def refusal_of(method: type) -> str:
    """Why a method does not prune a sharded model, empty if it does."""
    if issubclass(method, SynFlowUnstructured) and method._computes_in_parts():
        return "keep_layers is set" if method.keep_layers else ""
    if method in (L1Unstructured, RandomUnstructured):
        return ""
    if issubclass(method, SaliencyUnstructured) and not method.pruned_may_return:
        known = [each.saliency.__func__ for each in _ELEMENTWISE]  # type: ignore[attr-defined]
        if method.saliency.__func__ in known:  # type: ignore[attr-defined]
            return ""
    return "its scores of one shard may depend on another"


def scores_of_network(
    method: type[SaliencyUnstructured], network: Network, entries: Sequence[Entry], greatest: Greatest
) -> list[Tensor]:
    """The scores of the parts of this rank by a method that scores a model, checked over all ranks.

    Raises:
        ValueError: on all ranks, if the scores of a tensor are not finite, are negative although the method forbids it,
            or are all zero in an unpruned model. The message names the tensor.
    """
    if not isinstance(network, PositiveNetwork):
        found = opened(network, lambda: method.saliency(network), training=method.training)
        scores = [found[entry.key].detach() for entry in entries]
        fault = _fault(method, network, entries, scores, greatest)
        if fault:
            raise ValueError(fault)
        return scores
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
        fault = _fault(method, network, entries, scores, greatest)
        if not fault and not (network.vanishing and mode is method._modes[0]):
            return scores
        del stream, scores  # before there are those of the next mode
    raise ValueError(fault)


def _fault(
    method: type[SaliencyUnstructured],
    network: Network,
    entries: Sequence[Entry],
    scores: Sequence[Tensor],
    greatest: Greatest,
) -> str:
    """What is wrong with the scores of all ranks, the same on each; empty if nothing is."""
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
            return f"{entry.label}: expected finite {method.__name__} scores, got NaN or infinity"
        if not signed and below > 1e-6 * abs(above):
            return f"{entry.label}: expected positive {method.__name__} scores, got negative ones"
        if network.unpruned and entry.key not in network.unused and not (below > 0 or above > 0):
            return (
                f"{entry.label}: every one of its {method.__name__} scores is zero; expected an input-output path "
                "through it; leave it out or initialise it"
            )
    return ""


def drawn(entry: Entry, mask: Tensor, layout: Layout | None, gather: Callable[[Layout, Tensor], Tensor]) -> Tensor:
    """Random numbers for what is left of a tensor, as one process draws them for the whole of it, and of them the part.

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
