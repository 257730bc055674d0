"""R and its gradients at the living weights, iteration after iteration, from one recorded pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from torch_synflow.gradients import gradients
from torch_synflow.layers import Layer
from torch_synflow.positions import share_positions
from torch_synflow.selection import Channels, ScoreReader
from torch_synflow.tape import Slot, Step, Tape
from torch_synflow.task import Weights

#: so many entries are scored at a time that they stay in the processor's cache
_PART = 1 << 18


@dataclass
class Measured:
    """One weight, or block of one, and what flowed in and out where it was used.

    Attributes:
        weight: the weight.
        uses: for each use the layer, its input and the gradient at its tap, as the layer made them.
        gradient: where it is not used by layers only.
    """

    weight: Tensor
    uses: list[tuple[Layer, Tensor, Tensor]] = field(default_factory=list)
    gradient: Tensor | None = None

    def __post_init__(self) -> None:
        if self.gradient is None and not all(layer.in_rows for layer, _, _ in self.uses):
            self.gradient = sum(use[0].gradient(*use[1:], self.weight) for use in self.uses)  # type: ignore[assignment]

    def at(self, places: Tensor) -> Tensor:
        """``dR/dw * w`` at flat indices."""
        weight = self.weight.view(-1).index_select(0, places)
        if self.gradient is not None:
            return self.gradient.reshape(-1).index_select(0, places).mul_(weight)
        row = self.weight[0].numel()
        total = torch.zeros_like(weight)
        for _, seen, at_tap in self.uses:
            total += torch.linalg.vecdot(
                at_tap.index_select(1, places // row), seen.index_select(1, places % row), dim=0
            )
        return total.mul_(weight)

    def parts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """``dR/dw * w`` in order, and the weights that are scored."""
        if self.gradient is not None:
            yield self.gradient.mul(self.weight).reshape(-1), self.weight.view(-1)
            return
        flat = self.weight.view(len(self.weight), -1)
        step = max(1, _PART // max(1, flat.shape[1]))
        buffer = torch.empty_like(flat[:step])
        for start in range(0, len(flat), step):
            weight = flat[start : start + step]
            part = buffer[: len(weight)]
            for number, (_, seen, at_tap) in enumerate(self.uses):
                transposed = at_tap[:, start : start + step].T
                torch.mm(transposed, seen, out=part) if not number else part.addmm_(transposed, seen)
            if not self.uses:
                part.zero_()
            yield part.mul_(weight).view(-1), weight.view(-1)


class FlowScores(ScoreReader):
    """Scores that are computed a part at a time from what flowed in and out of layers."""

    drops: ClassVar[bool] = True

    def __init__(self, measured: Sequence[Measured], restore: Callable[[int], object]) -> None:
        self._measured = measured
        self._restore = restore
        self._part = self._weight = torch.empty(0)  # the last part

    def at(self, number: int, places: Tensor) -> Tensor:
        """The scores at flat indices of one tensor."""
        return self._measured[number].at(places)

    def parts(self, number: int) -> Iterator[Tensor]:
        """All scores of one tensor in order."""
        for part, weight in self._measured[number].parts():
            self._part, self._weight = part, weight
            yield part

    def drop(self, low: float) -> None:
        """Set the weights of the last part to zero whose scores are below a bound, as they are in the cache now."""
        self._weight.mul_(torch.ge(self._part, low, out=self._part))  # a product is quicker than a choice

    def drop_at(self, number: int, places: Tensor) -> None:
        """Set others to zero."""
        self._measured[number].weight.view(-1).index_fill_(0, places, 0)

    def restore(self, number: int) -> None:
        """Put the weights of one tensor back."""
        self._restore(number)


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
        layers = {index: layer for index, step in enumerate(tape.steps) if (layer := Layer.of(step, tape.shapes))}
        self._uses: dict[str, list[int]] = {}
        for name, slot in self._slots.items():
            uses = tape.consumers(slot)
            of_this = (i in layers and layers[i].weight == slot and tape.steps[i].slots.count(slot) == 1 for i in uses)
            if all(of_this):
                self._uses[name] = uses
        self.in_layers = frozenset(self._uses)
        self._name_of = {index: name for name, uses in self._uses.items() for index in uses}
        self._layers = {index: layers[index] for index in self._name_of}
        self._greatest = {name: float(weight.max()) for name, weight in weights.items() if weight.numel()}
        self.result = math.nan
        self.sound = False

    def scores(
        self, weights: Weights, channels: Mapping[str, Channels], restore: Callable[[int], object]
    ) -> FlowScores:
        """``dR/dw * w`` for each weight, or block of some channels; ``restore`` undoes what selection sets to zero."""
        taps = {i: layer.tap(weights[self._name_of[i]]).requires_grad_() for i, layer in self._layers.items()}
        others = {name: w.detach().requires_grad_() for name, w in weights.items() if name not in self._uses}
        seen: dict[int, Tensor] = {}
        special = {
            index: _with_tap(layer, taps[index], channels.get(self._name_of[index]), seen, index)
            for index, layer in self._layers.items()
        }
        values = {slot: others.get(name, weights[name]) for name, slot in self._slots.items()}
        result = self._tape.run(values, special)
        found = gradients([result], {**{f"tap {index}": tap for index, tap in taps.items()}, **others})
        at_taps = {index: found[f"tap {index}"] for index in taps}
        seen = {index: tensor.detach() for index, tensor in seen.items()}
        self.result = float(result.detach())
        self.sound = self._is_sound(seen, at_taps) and not others
        uses = {name: [(self._layers[i], seen[i], at_taps[i]) for i in self._uses.get(name, [])] for name in weights}
        measured = [Measured(weight, uses[name], found.get(name)) for name, weight in weights.items()]
        return FlowScores(measured, restore)

    def _is_sound(self, seen: dict[int, Tensor], at_taps: dict[int, Tensor]) -> bool:
        """Whether what flows into the weights, and the gradients there, are not negative, and their products in range.

        The scores are far more numbers than these.
        """
        extremes = [extreme for index in seen for t in (seen[index], at_taps[index]) for extreme in torch.aminmax(t)]
        values = iter(torch.stack(extremes).tolist() if extremes else [])
        for index, (low, high, least, greatest) in zip(
            seen, zip(values, values, values, values, strict=True), strict=True
        ):
            name = self._name_of[index]
            terms = at_taps[index].numel() * len(self._uses[name])
            if not (low >= 0 and least >= 0 and math.isfinite(high * greatest * terms * self._greatest[name])):
                return False
        return True


def _with_tap(
    layer: Layer, tap: Tensor, channels: Channels | None, seen: dict[int, Tensor], index: int
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
