"""The network that SynFlow scores: positive weights, an input of ones, and only living channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from torch_synflow._torch.classes import BatchNorm
from torch_synflow.flow.engine.replay import Replay
from torch_synflow.flow.passes import Read, record, synflow_by_definition, synflow_of_parts
from torch_synflow.flow.surrogate.mode import Flow
from torch_synflow.flow.surrogate.trace import Plan
from torch_synflow.model.parameters import Entry
from torch_synflow.scoring.inputs import check_example, one_example
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.opening import opened
from torch_synflow.scoring.precision import wider
from torch_synflow.scoring.task import Task, Weights
from torch_synflow.selection.stream import ScoreStream
from torch_synflow.selection.survivors import Channels, Survivors

if TYPE_CHECKING:
    from typing_extensions import Self

Mode = Callable[[Plan], Flow]


class PositiveNetwork(Network):
    """A model with the absolute values of all its parameters and of the running means of BatchNorm.

    The scored weights may keep the precision of the parameters, which is exact, while computations use a wider one.

    Attributes:
        inputs: one example of ones.
        read_as_ones: the names of the tensors that are all zero and count as ones.
        channels: the channels of each weight that is held as a block, by name.
        mode: the mode of the last scoring pass.
        sound: whether the last scores are certainly finite and not negative.
        result: R of the last pass.
        without_surrogate: the names of the operations on the flow that ran unchanged in the last pass of the model.
        vanishing: whether R or a flow was so small in the last pass that scores may have lost digits or vanished.
    """

    counted_alone: ClassVar[bool] = True  # magnitudes of flow decide nothing

    def __init__(
        self,
        task: Task,
        entries: Sequence[Entry],
        masks: Sequence[Tensor],
        floor: torch.dtype,
        *,
        floor_of_weights: torch.dtype | None = None,
    ) -> None:
        super().__init__(task, entries, masks, floor, floor_of_weights=floor_of_weights)
        self._floor = floor
        self.weights = {name: weight.contiguous() for name, weight in self.weights.items()}
        self.inputs = self.prepared(positive_input(task.example_inputs))
        self.read_as_ones = self._make_positive()
        self.channels: dict[str, Channels] = {}
        self.sound = False
        self.without_surrogate: tuple[str, ...] = ()
        self.result = math.nan
        self.vanishing = False
        self.mode: Mode | None = None
        self._replay: Replay | None = None
        self._held: dict[int, int] = {}
        self._alive = sum(mask.numel() for mask in masks)
        self._shapes = {entry.key: entry.parameter.shape for entry in entries}

    def scores(self, mode: Mode) -> ScoreStream:
        """``dR/dw * w`` for each weight, or for the block of it that is held.

        The model's own code runs the first time, and again under another mode. After that, the recording runs.
        """
        if self.task.shards is not None:
            return self._of_parts(self.task.shards.leaves(self.weights, self._floor), mode)
        if mode is not self.mode:
            tape, expected, found = opened(self, lambda: record(self, self.whole(), self.inputs, mode), training=False)
            self._replay = None
            self._note_found(mode, found)
            if tape is not None:
                replay = Replay(self.whole(), tape)
                if self.channels.keys() <= replay.in_layers:  # others have to be whole, and were cut under another mode
                    scores = self._replayed(replay)
                    if math.isclose(replay.result, expected, rel_tol=1e-6) or not math.isfinite(expected):
                        self._replay = replay  # which reproduces the model
                        return scores
        if self._replay is not None:
            return self._replayed(self._replay)
        whole, result = opened(  # a pass that cannot be recorded is scored by definition
            self, lambda: synflow_by_definition(self, self.whole(), self.inputs, mode), training=False
        )
        self.sound, self.result = False, float(result)
        self.vanishing = self._vanishes(self.result)
        return ScoreStream([_block(whole[name], self.channels.get(name)) for name in self.weights])

    def _of_parts(self, leaves: Weights, mode: Mode) -> ScoreStream:
        scores, result, found = opened(self, lambda: synflow_of_parts(self, leaves, self.inputs, mode), training=False)
        self._note_found(mode, found)
        self.result = float(result)
        self.vanishing = self._vanishes(self.result)
        return ScoreStream([scores[name] for name in self.weights])

    def _note_found(self, mode: Mode, found: Read) -> None:
        self.mode, self.without_surrogate = mode, found.without_surrogate
        self.unused = set(self.weights) - found.used if found.used else set()
        self.read_as_ones = [
            name
            for name in self.read_as_ones
            if name in self.weights or not any(self._others[name] is constant for constant in found.given)
        ]

    def _replayed(self, replay: Replay) -> ScoreStream:
        scores = replay.scores(self.weights, self.channels)
        self.sound, self.result = replay.sound, replay.result
        self.vanishing = self._vanishes(replay.faintest)
        return scores

    def _vanishes(self, faintest: float) -> bool:
        """Whether values smaller than R, or than a flow, by the cube of the precision lose digits."""
        numbers = torch.finfo(self.dtype)
        return abs(faintest) < numbers.tiny / numbers.eps**3

    def copy(self) -> Self:
        """The same network with its own copy of weights and channels."""
        other = super().copy()
        other.channels, other._held = dict(self.channels), dict(self._held)
        return other

    def _make_positive(self) -> list[str]:
        """Take absolute values, and return the names of the tensors that count as ones.

        A tensor that is all zero, such as a head or a gamma with that initialisation, cuts every path through it. It
        counts as ones, under its mask. Biases, which are added, stay zero.
        """
        zeros = self._zero_factors()
        for name in zeros:
            if name in self.weights:
                self.weights[name].copy_(self.masks[name])
            else:
                self._others[name].fill_(1)._synaptic_zero = True  # type: ignore[attr-defined]
        for tensor in (*self.weights.values(), *self._others.values()):
            if tensor.is_floating_point():
                tensor.abs_()
        for prefix, module in self.model.named_modules():
            if isinstance(module, BatchNorm):
                name = f"{prefix}.running_mean" if prefix else "running_mean"
                if name in self._buffers:
                    self._buffers[name] = self._buffers[name].abs()
        return zeros

    def _zero_factors(self) -> list[str]:
        """The names of the parameters that multiply and are all zero."""
        if self.task.shards is not None:
            parts = {**self.weights, **self._others}
            zeros = self.task.shards.zero_throughout({name: parts[name] for name in parts if _scales(name)})
            return [name for name, _ in self.model.named_parameters() if name in zeros]
        return [name for name, parameter in self.model.named_parameters() if _scales(name) and _is_zero(parameter)]

    def whole(self) -> Weights:
        """The weights in their own shapes and the precision of the scores."""
        weights = {name: self._spread(name, block) for name, block in self.weights.items()}
        return {name: weight.to(wider(weight, self._floor)) for name, weight in weights.items()}

    def apply_masks(self, survivors: Survivors) -> None:
        """As for any network, and leave out dead channels.

        The search for them repeats once a fifth of the remaining elements has gone, both of the network and of a layer.
        Channels that die in between are computed needlessly but correctly.
        """
        super().apply_masks(survivors)
        if self._replay is None or survivors.total > 0.8 * self._alive:
            return
        self._alive = survivors.total
        emptied = {
            number: count
            for number, (name, count) in enumerate(zip(self.weights, survivors.counts, strict=True))
            if name in self._replay.in_layers and count <= 0.8 * self._held.get(number, survivors.masks[number].numel())
        }
        self._held |= emptied
        names = list(self.weights)
        for number, living in survivors.compact(emptied).items():
            name, channels = names[number], survivors.channels[number]
            self.weights[name] = _block(self.weights[name], living)
            assert channels is not None  # as compacted
            self.channels[name] = channels
        self.masks = dict(zip(self.weights, survivors.masks, strict=True))

    def _spread(self, name: str, block: Tensor) -> Tensor:
        if name not in self.channels:
            return block
        outputs, inputs = self.channels[name]
        whole = block.new_zeros(self._shapes[name])
        whole[outputs[:, None], inputs] = block
        return whole


def _block(tensor: Tensor, channels: Channels | None) -> Tensor:
    return tensor if channels is None else tensor.index_select(0, channels[0]).index_select(1, channels[1])


def positive_input(example_inputs: Any) -> Any:
    """One example of ones in the shape of ``example_inputs``; integers and booleans (token ids, masks) stay."""
    check_example(example_inputs)
    return one_example(example_inputs)


def _scales(name: str) -> bool:
    """Whether a parameter of this name may be a factor, like weights and gammas; a bias is only a term."""
    return "bias" not in name.rpartition(".")[2]


def _is_zero(tensor: Tensor) -> bool:
    """Whether every element is zero; the first element decides for most tensors."""
    return not bool(tensor[(0,) * tensor.dim()] if tensor.numel() else True) and not bool(tensor.any())
