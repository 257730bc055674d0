"""R and its gradients at the living weights, iteration after iteration, from one recorded pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from torch_synflow._torch.precision import float32_is_precise
from torch_synflow.flow.engine.contributions import FlowScores, Measured, Use
from torch_synflow.flow.engine.equal_rows import share_positions
from torch_synflow.flow.engine.layers import PART, RecordedLayer
from torch_synflow.flow.engine.tape import Slot, Step, Tape
from torch_synflow.scoring.task import Weights
from torch_synflow.selection.stream import ScoreStream
from torch_synflow.selection.survivors import Channels


class Replay:
    """A recorded pass on living weights.

    Args:
        weights: the whole weights by name, in the order of the first slots of the tape.
        tape: the recorded pass.

    Attributes:
        in_layers: the names of the weights that only linear layers and convolutions use. These can be held as blocks of
            their living channels.
        result: R of the last pass.
        faintest: the least of R and of the greatest elements of the flows that the last pass checked.
        sound: whether the last scores are certainly finite and not negative.
    """

    def __init__(self, weights: Weights, tape: Tape) -> None:
        self._tape = tape
        self._slots = {name: slot for slot, name in enumerate(weights)}
        tape.simplify(partial(_same, list(weights.values())))
        share_positions(tape)
        layers = {
            index: layer for index, step in enumerate(tape.steps) if (layer := RecordedLayer.of(step, tape.shapes))
        }
        self._uses: dict[str, list[int]] = {}
        for name, slot in self._slots.items():
            uses = tape.consumers(slot)
            of_this = (i in layers and layers[i].weight == slot and tape.steps[i].slots.count(slot) == 1 for i in uses)
            if all(of_this):
                self._uses[name] = uses
        self.in_layers = frozenset(self._uses)
        self._name_of = {index: name for name, uses in self._uses.items() for index in uses}
        self._layers = {index: layers[index] for index in self._name_of}
        self._greatest = {name: float(weight.max()) if weight.numel() else 0.0 for name, weight in weights.items()}
        self._total = {name: greatest * len(self._uses.get(name, ())) for name, greatest in self._greatest.items()}
        self._dtypes = {name: weight.dtype for name, weight in weights.items()}
        self.result = self.faintest = math.nan
        self.sound = False

    def scores(self, weights: Weights, channels: Mapping[str, Channels]) -> ScoreStream:
        """``dR/dw * w`` for each weight, or block of channels."""
        others = {
            name: weight.detach().to(self._dtypes[name]).requires_grad_()
            for name, weight in weights.items()
            if name not in self._uses
        }
        seen: dict[int, Tensor] = {}
        edges: dict[int, GradientEdge] = {}
        special = {
            index: _recorded(layer, channels.get(self._name_of[index]), seen, edges, index)
            for index, layer in self._layers.items()
        }
        values = {slot: others.get(name, weights[name]) for name, slot in self._slots.items()}
        result = self._tape.run(values, special)
        at: list[Any] = [*edges.values(), *others.values()]
        found = torch.autograd.grad([result], at, allow_unused=True)
        directly = {
            name: torch.zeros_like(weight) if gradient is None else gradient
            for (name, weight), gradient in zip(others.items(), found[len(edges) :], strict=True)
        }
        uses = {  # without weights that R does not depend on
            index: Use(self._layers[index], gradient, seen[index])
            for index, gradient in zip(edges, found, strict=False)
            if gradient is not None
        }
        alike = len({self._dtypes[name] for name in weights}) == 1
        if alike and sum(weight.numel() for weight in weights.values()) <= PART:
            return self._at_once(weights, result.detach(), uses, directly)
        return self._in_parts(weights, result.detach(), uses, directly)

    def _at_once(self, weights: Weights, result: Tensor, uses: dict[int, Use], directly: Weights) -> ScoreStream:
        """The scores of a few weights, as one vector."""
        scores = torch.cat(
            [part for one in self._measured(weights, uses, directly) for part, _ in one.parts(exact=True)]
        )
        first = [] if self.result == self.result else [f for use in uses.values() for f in (use.at_output, use.seen)]
        (self.result, _), (least, greatest), *extremes = _extremes([result, scores, *first])
        self._note_faintest(extremes)
        self.sound = least >= 0 and math.isfinite(greatest)
        return ScoreStream(scores.split([weight.numel() for weight in weights.values()]), scores)

    def _in_parts(self, weights: Weights, result: Tensor, uses: dict[int, Use], directly: Weights) -> ScoreStream:
        """The scores of many weights, computed while they are read; their factors give upper bounds."""
        elements = {index: use.at_output.numel() for index, use in uses.items()}
        for use in uses.values():
            use.at_output, use.seen = use.layer.used(use.at_output, use.seen)
        flows = [flow for use in uses.values() for flow in (use.at_output, use.seen)]
        (self.result, _), *extremes = _extremes([result, *flows, *directly.values()])
        self._note_faintest(extremes[: len(flows)])
        positive = True
        for (index, use), (least, great), (low, high) in zip(uses.items(), extremes[::2], extremes[1::2], strict=False):
            use.greatest = (great, high)
            bound = great * high * elements[index] * self._total[self._name_of[index]]
            positive = positive and least >= 0 and low >= 0 and math.isfinite(bound)
        self.sound = positive and all(
            least >= 0 and math.isfinite(great * self._greatest[name])
            for name, (least, great) in zip(directly, extremes[len(flows) :], strict=True)
        )
        narrower = any(weight.dtype != self._dtypes[name] for name, weight in weights.items())
        measured = self._measured(weights, uses, directly)
        return FlowScores(measured, narrow=positive and narrower and float32_is_precise())

    def _note_faintest(self, flows: Sequence[tuple[float, float]]) -> None:
        """Note how small R and the uncut flows are."""
        self.faintest = min([self.result, *(greatest for _, greatest in flows if greatest > 0)])

    def _measured(self, weights: Weights, uses: dict[int, Use], directly: Weights) -> list[Measured]:
        return [
            Measured(
                weight,
                self._greatest[name],
                [uses[index] for index in self._uses.get(name, ()) if index in uses],
                directly.get(name),
            )
            for name, weight in weights.items()
        ]


def _extremes(tensors: Sequence[Tensor]) -> list[tuple[float, float]]:
    """The least and greatest element of each tensor, zeros for empty tensors: the host's only read in a pass."""
    some = [tensor if tensor.numel() else tensor.new_zeros(1) for tensor in tensors]
    values = torch.stack([extreme for tensor in some for extreme in torch.aminmax(tensor)]).tolist()
    return list(zip(values[::2], values[1::2], strict=True))


def _recorded(
    layer: RecordedLayer,
    channels: Channels | None,
    seen: dict[int, Tensor],
    edges: dict[int, GradientEdge],
    index: int,
) -> Callable[..., Tensor]:
    """The replacement of a layer, which notes the input, and the tensor at which to take the gradient of the output."""

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None, *geometry: object, **more: object) -> Tensor:
        out, seen[index], edges[index] = layer.run(x, weight, bias, channels)
        return out

    return run


def _same(weights: Sequence[Tensor], step: Step) -> int | None:
    """The slot of a weight that a step does not change, such as an earlier mask or an absolute value."""
    slot = next((arg.index for arg in step.args if isinstance(arg, Slot)), len(weights))
    name = getattr(step.func, "__name__", "")
    if slot >= len(weights) or name not in ("abs", "absolute", "mul", "__mul__", "__rmul__"):
        return None
    factors = [leaf for leaf in step.args if isinstance(leaf, Tensor)]
    if "mul" in name and not (
        len(factors) == 1
        and factors[0].shape == weights[slot].shape
        and torch.equal(weights[slot] * factors[0], weights[slot])
    ):
        return None
    return slot
