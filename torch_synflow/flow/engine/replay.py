"""R and its gradients at the living weights, iteration after iteration, from one recorded pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from torch_synflow._torch.precision import float32_is_precise
from torch_synflow.flow.engine.contributions import FlowScores, Measured, Use
from torch_synflow.flow.engine.equal_rows import share_positions
from torch_synflow.flow.engine.layers import RecordedLayer
from torch_synflow.flow.engine.tape import Slot, Step, Tape
from torch_synflow.scoring.gradients import gradients
from torch_synflow.scoring.task import Weights
from torch_synflow.selection.survivors import Channels


class Replay:
    """A recorded pass on living weights.

    Args:
        weights: by name, whole, in the order of the first slots of the tape.
        tape: the pass.

    Attributes:
        in_layers: the names of the weights that only linear layers and convolutions use, which may be held as the
            blocks of their living channels.
        result: R, of the last pass.
        sound: whether the last scores are sure to be finite and not negative.
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
        self.result = math.nan
        self.sound = False

    def scores(
        self, weights: Weights, channels: Mapping[str, Channels], restore: Callable[[int], object]
    ) -> FlowScores:
        """``dR/dw * w`` for each weight, or block of some channels; ``restore`` undoes what selection sets to zero."""
        name_of = self._name_of
        taps = {
            i: layer.tap(weights[name_of[i]], self._dtypes[name_of[i]]).requires_grad_()
            for i, layer in self._layers.items()
        }
        others = {
            name: weight.detach().to(self._dtypes[name]).requires_grad_()
            for name, weight in weights.items()
            if name not in self._uses
        }
        seen: dict[int, Tensor] = {}
        special = {
            index: _with_tap(layer, taps[index], channels.get(name_of[index]), seen, index)
            for index, layer in self._layers.items()
        }
        values = {slot: others.get(name, weights[name]) for name, slot in self._slots.items()}
        result = self._tape.run(values, special)
        found = gradients([result], {**{f"tap {index}": tap for index, tap in taps.items()}, **others})
        ends = {index: self._layers[index].used(found[f"tap {index}"], seen[index].detach()) for index in seen}
        flows = [flow for of_use in ends.values() for flow in of_use]
        directly = {name: found[name] for name in others if name in found}
        (self.result, _), *extremes = _extremes([result.detach(), *flows, *directly.values()])
        of_uses = {index: extremes[2 * number : 2 * number + 2] for number, index in enumerate(ends)}
        positive = all(
            least >= 0 and low >= 0 and math.isfinite(great * high * taps[i].numel() * self._total[name_of[i]])
            for i, ((least, great), (low, high)) in of_uses.items()
        )
        self.sound = positive and all(
            least >= 0 and math.isfinite(great * self._greatest[name])
            for name, (least, great) in zip(directly, extremes[len(flows) :], strict=True)
        )
        measured = []
        for name, weight in weights.items():
            uses = [
                Use(self._layers[i], *ends[i], (of_uses[i][0][1], of_uses[i][1][1])) for i in self._uses.get(name, [])
            ]
            measured.append(Measured(weight, self._greatest[name], uses, found.get(name)))
        narrower = any(weight.dtype != self._dtypes[name] for name, weight in weights.items())
        return FlowScores(measured, restore, narrow=positive and narrower and float32_is_precise())


def _extremes(tensors: Sequence[Tensor]) -> list[tuple[float, float]]:
    """The least and greatest entry of each, zeros for one without entries: all that the host asks for in a pass."""
    some = [tensor if tensor.numel() else tensor.new_zeros(1) for tensor in tensors]
    values = torch.stack([extreme for tensor in some for extreme in torch.aminmax(tensor)]).tolist()
    return list(zip(values[::2], values[1::2], strict=True))


def _with_tap(
    layer: RecordedLayer, tap: Tensor, channels: Channels | None, seen: dict[int, Tensor], index: int
) -> Callable[..., Tensor]:
    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None, *geometry: object, **more: object) -> Tensor:
        out, seen[index] = layer.run(x, weight, bias, tap, channels)
        return out

    return run


def _same(weights: Sequence[Tensor], step: Step) -> int | None:
    """The slot of a weight that a step does not change: by the mask of an earlier pruning, or the absolute value."""
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
