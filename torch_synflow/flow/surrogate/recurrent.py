"""Recurrent layers, which torch runs as one operation, in steps over time that each have a surrogate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_synflow._torch.signatures import Packing, RecurrentCell, RecurrentLayers, Unpacking
from torch_synflow.flow.surrogate.call import Call, is_flow

State = tuple[Tensor, ...]
#: from what the input and what the state gives to the next state, the output first
CellStep = Callable[[Tensor, Tensor, State], State]


def lstm(call: Call) -> State:
    """Steps over time that add the input to the cell through gates; an open forget gate forgets nothing."""
    return _over_time(call, _lstm_step)


def gru(call: Call) -> State:
    """Steps over time that add the input to the state through gates."""
    return _over_time(call, _gru_step)


def rnn(call: Call) -> State:
    """Steps over time with the ReLU of the sum of input and state contributions."""
    return _over_time(call, _rnn_step)


def pack(call: Call) -> tuple[Tensor, Tensor]:
    """Unchanged: sequences of several lengths, one time after the other."""
    given = Packing.of(call.args)
    x = given.x.transpose(0, 1) if given.batch_first else given.x
    lengths = given.lengths.tolist()
    sizes = [sum(length > time for length in lengths) for time in range(max(lengths))]
    return torch.cat([now.narrow(0, 0, size) for now, size in zip(x.unbind(0), sizes, strict=False)]), torch.tensor(
        sizes
    )


def unpack(call: Call) -> tuple[Tensor, Tensor]:
    """Sequences filled up to one length with zeros, which are not a flow."""
    given = Unpacking.of(call.args)
    sizes = given.batch_sizes.tolist()
    pairs = (0, 0) * (given.data.dim() - 1)
    padded = torch.stack([F.pad(now, (*pairs, 0, sizes[0] - len(now))) for now in given.data.split(sizes)])
    padded = F.pad(padded, (*pairs, 0, 0, 0, max(0, given.length - len(sizes))))
    lengths = [sum(size > number for size in sizes) for number in range(sizes[0])]
    return padded.transpose(0, 1) if given.batch_first else padded, torch.tensor(lengths)


def lstm_cell(call: Call) -> State:
    """One step of ``lstm``."""
    return _one_step(call, _lstm_step)


def gru_cell(call: Call) -> Tensor:
    """One step of ``gru``."""
    return _one_step(call, _gru_step)[0]


def rnn_cell(call: Call) -> Tensor:
    """One step of an RNN."""
    return _one_step(call, _rnn_step)[0]


def _lstm_step(given: Tensor, recurrent: Tensor, state: State) -> State:
    # apart before they are added, as flow is followed through parts of a layer's output, not of a sum
    entering, forgetting, new, leaving = (
        a + b for a, b in zip(given.chunk(4, -1), recurrent.chunk(4, -1), strict=True)
    )
    cell = entering.sigmoid() * new.tanh() + _through(forgetting.sigmoid(), state[1])
    return leaving.sigmoid() * cell.tanh(), cell


def _gru_step(given: Tensor, recurrent: Tensor, state: State) -> State:
    resetting, keeping, new = given.chunk(3, -1)
    resetting_too, keeping_too, old = recurrent.chunk(3, -1)
    new = (new + _through((resetting + resetting_too).sigmoid(), old)).tanh()
    keeping = (keeping + keeping_too).sigmoid()
    return ((1 - keeping) * new + _through(keeping, state[0]),)


def _rnn_step(given: Tensor, recurrent: Tensor, state: State) -> State:
    return (torch.relu(given + recurrent),)


def _one_step(call: Call, step: CellStep) -> State:
    cell = RecurrentCell.of(call.args, call.kwargs)
    state = _started(cell.hx)
    given = F.linear(cell.x, cell.of_input, cell.input_bias)
    return step(given, _recurrent(given, state[0], cell.of_state, cell.state_bias), state)


def _started(hx: Any) -> State:
    """The states at the start: those that are not computed, zeros or learned ones, are read as zero, as tokens are."""
    states = hx if isinstance(hx, (list, tuple)) else [hx]
    return tuple(h if is_flow(h) else torch.zeros_like(h).detach() for h in states)


def _recurrent(given: Tensor, h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The contribution of the state; a state without flow would be an input to a layer."""
    if is_flow(h):
        return F.linear(h, weight, bias)
    return torch.zeros_like(given).detach() if bias is None else bias


def _through(gate: Tensor, x: Tensor) -> Tensor:
    """The flow through a gate, which is open where no flow arrives that it could gate."""
    return gate * x if is_flow(x) else x


def _over_time(call: Call, step: CellStep) -> State:
    """All layers in all directions: the output of the last one, and the last states of each."""
    given = RecurrentLayers.of(call.args)
    sizes = None if given.batch_sizes is None else given.batch_sizes.tolist()
    each = len(given.weights) // (given.layers * given.directions)
    starts = _started(given.hx)
    x = given.x.transpose(0, 1) if given.batch_first else given.x
    last: list[State] = []
    for layer in range(given.layers):
        ways = []
        for way in range(given.directions):
            number = layer * given.directions + way
            weights = given.weights[number * each : (number + 1) * each]
            outputs, state = _one_way(
                x, sizes, tuple(h.select(0, number) for h in starts), weights, step, backwards=way == 1
            )
            ways.append(torch.stack(outputs) if sizes is None else torch.cat(outputs))
            last.append(state)
        x = torch.cat(ways, -1) if given.directions == 2 else ways[0]
    return (x.transpose(0, 1) if given.batch_first else x, *(torch.stack(states) for states in zip(*last, strict=True)))


def _one_way(
    x: Tensor, sizes: list[int] | None, start: State, weights: Sequence[Tensor], step: CellStep, *, backwards: bool
) -> tuple[list[Tensor], State]:
    """The outputs of one layer in one direction, in the order of time, and its last state.

    For packed sequences, sorted by length, ``sizes`` is the number of sequences at each time.
    """
    of_input, of_state, *rest = weights
    biases = rest[:2] if len(rest) > 1 else (None, None)
    projection = rest[-1] if len(rest) % 2 else None
    given = F.linear(x, of_input, biases[0])
    times = list(given.unbind(0) if sizes is None else given.split(sizes))
    state = tuple(h.narrow(0, 0, len(times[-1 if backwards else 0])) for h in start)
    outputs, ended = [], []
    for now in reversed(times) if backwards else times:
        if len(now) < len(state[0]):
            ended.append(tuple(h.narrow(0, len(now), len(h) - len(now)) for h in state))
            state = tuple(h.narrow(0, 0, len(now)) for h in state)
        elif len(now) > len(state[0]):
            more = len(now) - len(state[0])
            state = tuple(torch.cat([h, h0.narrow(0, len(h), more)]) for h, h0 in zip(state, start, strict=True))
        output, *others = step(now, _recurrent(now, state[0], of_state, biases[1]), state)
        state = (output if projection is None else F.linear(output, projection), *others)
        outputs.append(state[0])
    state = tuple(torch.cat(parts) for parts in zip(state, *reversed(ended), strict=True)) if ended else state
    return outputs[::-1] if backwards else outputs, state
