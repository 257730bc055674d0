"""Recurrent layers are read step by step: against the same network written out in plain torch with open gates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
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


@pytest.mark.parametrize(
    "options",
    [
        {"bias": False},
        {"num_layers": 2, "batch_first": True, "dropout": 0.5},
        {"bidirectional": True},
        {"num_layers": 2, "bidirectional": True, "bias": False, "lengths": [6, 3, 3, 1]},
        {"batch_first": True, "lengths": [6, 5]},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_network_written_out(kind: str, options: dict[str, Any]) -> None:
    torch.manual_seed(3)
    network = Network(kind, **options).double()
    x = torch.rand(1, 6, 3, dtype=torch.float64)
    for score, expected in zip(scored(network, x), network.by_definition(x), strict=True):
        torch.testing.assert_close(score.as_subclass(Tensor), expected, rtol=1e-10, atol=1e-14)
        assert bool((score > 0).any())


@pytest.mark.parametrize(
    ("kind", "cell", "rows"), [("rnn", nn.RNNCell, 0), ("gru", nn.GRUCell, 2), ("lstm", nn.LSTMCell, 2)]
)
def test_cells_are_layers_of_one_step(kind: str, cell: Any, rows: int) -> None:
    class Cells(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.before = nn.Linear(3, INPUTS, bias=False)
            self.cell = cell(INPUTS, HIDDEN)
            with torch.no_grad():
                for name, parameter in self.cell.named_parameters():
                    parameter.copy_(getattr(layer, f"{name}_l0"))

        def forward(self, x: Tensor) -> Any:
            state, outputs = None, []
            for now in self.before(x).unbind(1):
                state = self.cell(now, state)
                outputs.append(state[0] if isinstance(state, tuple) else state)
            return torch.stack(outputs), state

    torch.manual_seed(1)
    network = Network(kind, batch_first=True)
    cells = Cells(network.layer)
    cells.before = network.before
    x = torch.rand(1, 6, 3)
    before, of_input, of_state = scored(network, x)
    for score, expected in zip(scored(cells, x), (before, of_input, of_state), strict=True):
        torch.testing.assert_close(score, expected, rtol=1e-10, atol=0)
    # without biases as much would come in as flowed before; they add to it
    assert float(of_input.view(-1, HIDDEN, INPUTS)[rows].sum()) == pytest.approx(float(before.sum()), rel=1e-9)


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_pruning_to_the_last_weights_keeps_a_path(kind: str) -> None:
    class Outputs(Network):
        def forward(self, x: Tensor) -> Any:  # a last state of an LSTM would be a way round its projection
            return super().forward(x)[0]

    torch.manual_seed(0)
    network = Outputs(kind, num_layers=2, bias=False)
    pairs = [(network.before, "weight")]
    pairs += [(network.layer, name) for name, _ in network.layer.named_parameters()]
    x = torch.rand(1, 5, 3)
    report = prune.global_iterative_unstructured(pairs, prune.SynFlow, 0.8, model=network, example_inputs=x)
    assert report.kept == report.total - round(0.8 * report.total)
    assert all("weight_hh" in name for name in report.empty_layers)
    outputs = network(x)
    assert outputs.shape[:2] == (5, 1)
    assert bool(outputs.any())


def test_a_sequence_that_overflows_float64_is_scored() -> None:
    torch.manual_seed(0)
    network = Network("lstm", batch_first=True)
    with torch.no_grad():
        network.layer.weight_hh_l0.mul_(1e12)
    scores = scored(network, torch.rand(1, 40, 3))
    assert all(bool(torch.isfinite(score).all()) for score in scores)
    assert all(float(score.sum()) > 0 for score in scores)
    new = scores[1].view(4, HIDDEN, INPUTS)[2].sum()
    assert math.isclose(float(new), float(scores[0].sum()), rel_tol=1e-6)


class Started(nn.Module):
    """A layer that starts from a state: none, a learned one, or what another layer makes of the input."""

    def __init__(self, start: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = (nn.GRU(3, HIDDEN, batch_first=True) for _ in range(2))
        self.start = start
        self.learned = nn.Parameter(torch.rand(1, 1, HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        states = {"none": None, "learned": self.learned, "computed": self.first(x)[1]}
        return self.second(x, states[self.start])[0][:, -1]


def test_only_states_that_are_computed_carry_flow() -> None:
    x = torch.rand(1, 6, 3)
    with pytest.warns(UserWarning, match=r"on no path.*first\.weight"):
        of_none, of_learned = (scored(Started(start), x) for start in ("none", "learned"))
    assert [bool(score.any()) for score in of_none] == [False, False, True, True]
    for score, expected in zip(of_learned, of_none, strict=True):
        assert torch.equal(score, expected)
    assert all(bool((score > 0).all()) for score in scored(Started("computed"), x))


@pytest.mark.parametrize("value", [0.0, 1e6, -math.inf])
def test_what_sequences_are_filled_up_with_is_no_flow(value: float) -> None:
    class Greatest(Network):
        def forward(self, x: Tensor) -> Any:
            packed = pack_padded_sequence(torch.cat([self.before(x)] * 2), torch.tensor([4, 2]), batch_first=True)
            padded, lengths = pad_packed_sequence(
                self.layer(packed)[0], batch_first=True, padding_value=value, total_length=7
            )
            assert padded.shape == (2, 7, HIDDEN)
            assert [int(length) for length in lengths] == [4, 2]
            return padded.amax(1)

    class Apart(Network):
        def forward(self, x: Tensor) -> Any:
            x = self.before(x)
            return self.layer(x[:, :4])[0].amax(1) + self.layer(x[:, :2])[0].amax(1)

    torch.manual_seed(0)
    filled, apart = Greatest("rnn", batch_first=True, bias=False), Apart("rnn", batch_first=True, bias=False)
    apart.load_state_dict(filled.state_dict())
    x = torch.rand(1, 4, 3)
    for score, expected in zip(scored(filled, x), scored(apart, x), strict=True):
        torch.testing.assert_close(score, expected, rtol=1e-10, atol=0)
