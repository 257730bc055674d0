"""Recurrent networks in torch's layers, and written out step by step in plain torch with open gates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from torch_synflow import prune

INPUTS, HIDDEN = 4, 5
KINDS: dict[str, Callable[..., nn.Module]] = {
    "rnn": nn.RNN,
    "rnn with relu": lambda *sizes, **more: nn.RNN(*sizes, nonlinearity="relu", **more),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
    "projected lstm": lambda *sizes, **more: nn.LSTM(*sizes, proj_size=3, **more),
}


def gate(x: Tensor) -> Tensor:
    """One, with the gradient of the logarithm; open where nothing arrives."""
    return torch.where(x == 0, 1.0, x / torch.where(x == 0, 1.0, x.detach()))


def next_state(layer: nn.RNNBase, names: list[str], x: Tensor, state: list[Tensor]) -> list[Tensor]:
    """One step with open gates, which read the main flow as a constant."""
    weights = {name.split("_l")[0]: getattr(layer, name).abs() for name in names}
    bias = [weights.get(name) for name in ("bias_ih", "bias_hh")]
    rows = len(weights["weight_ih"]) // (len(weights["weight_hh"]) if layer.mode.startswith("RNN") else 1)

    def parts(x: Tensor, h: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        number = {"LSTM": 4, "GRU": 3}.get(layer.mode, rows)
        given, recurrent = F.linear(x, weights["weight_ih"], bias[0]), F.linear(h, weights["weight_hh"], bias[1])
        return given.chunk(number, -1), recurrent.chunk(number, -1)

    (given, recurrent), (of_input, of_state) = parts(x, state[0]), parts(x.detach(), state[0].detach())
    gates = [a + b for a, b in zip(of_input, of_state, strict=True)]
    if layer.mode == "LSTM":
        entering, forgetting, _, leaving = map(gate, gates)
        cell = forgetting * state[1] + entering * (given[2] + recurrent[2])
        out = leaving * cell
        return [F.linear(out, weights["weight_hr"]) if layer.proj_size else out, cell]
    if layer.mode == "GRU":
        resetting, keeping = gate(gates[0]) if state[0].requires_grad else 1.0, gates[1]
        return [gate(1 + keeping) * (given[2] + resetting * recurrent[2]) + gate(keeping) * state[0]]
    return [given[0] + recurrent[0]]


def written_out(layer: nn.RNNBase, sequence: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The outputs for one sequence of shape (time, inputs), and the sums of the last states of each direction."""
    last = []
    for names in [
        layer._all_weights[i : i + 1 + layer.bidirectional]
        for i in range(0, len(layer._all_weights), 1 + layer.bidirectional)
    ]:
        ways = []
        for way, of_way in enumerate(names):
            width = layer.proj_size or layer.hidden_size
            state = [sequence.new_zeros(width), sequence.new_zeros(layer.hidden_size)][
                : 2 if layer.mode == "LSTM" else 1
            ]
            outputs = []
            for x in sequence.flip(0) if way else sequence:
                state = next_state(layer, of_way, x, state)
                outputs.append(state[0])
            ways.append(torch.stack(outputs[::-1] if way else outputs))
            last.append(torch.stack([h.sum() for h in state]).sum())
        sequence = torch.cat(ways, -1)
    return sequence, last


class Network(nn.Module):
    """A layer before, one that is recurrent, and all that this returns."""

    def __init__(self, kind: str, *, lengths: list[int] | None = None, **options: Any) -> None:
        super().__init__()
        self.before = nn.Linear(3, INPUTS, bias=False)
        self.layer = KINDS[kind](INPUTS, HIDDEN, **options)
        self.lengths = lengths

    def forward(self, x: Tensor) -> Any:
        x = self.before(x)
        if not self.layer.batch_first:
            x = x.transpose(0, 1)
        if self.lengths is None:
            return self.layer(x)
        dim = 0 if self.layer.batch_first else 1
        x = torch.cat([x] * len(self.lengths), dim)
        packed = pack_padded_sequence(x, torch.tensor(self.lengths), batch_first=self.layer.batch_first)
        out, last = self.layer(packed)
        number = torch.arange(1.0, 1.0 + len(self.lengths), dtype=x.dtype)[:, None]  # so that their order counts
        last = [number * h for h in (last if isinstance(last, tuple) else (last,))]
        return pad_packed_sequence(out, batch_first=self.layer.batch_first)[0], last

    def by_definition(self, x: Tensor) -> list[Tensor]:
        """The scores of all weights, R being the sum of all outputs and last states."""
        weights = [parameter for name, parameter in self.named_parameters() if "weight" in name]
        sequence = F.linear(torch.ones_like(x[0]), self.before.weight.abs())
        total = torch.zeros((), dtype=x.dtype)
        for number, length in enumerate(self.lengths or [len(sequence)], start=1):
            outputs, last = written_out(self.layer, sequence[:length])  # type: ignore[arg-type]
            total = total + outputs.sum() + number * torch.stack(last).sum()
        gradients = torch.autograd.grad(total, weights)
        return [gradient * weight.detach() for gradient, weight in zip(gradients, weights, strict=True)]


def scored(network: nn.Module, x: Tensor) -> list[Tensor]:
    pairs = [
        (module, name)
        for module in network.modules()
        for name, _ in module.named_parameters(recurse=False)
        if "weight" in name
    ]
    return list(prune.SynFlow.scores(network, pairs, example_inputs=x).values())
