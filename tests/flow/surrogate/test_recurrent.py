"""Recurrent layers are read step by step: against the same network written out in plain torch with open gates."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tests.flow.surrogate.unrolled import HIDDEN, INPUTS, KINDS, Network, scored
from torch_synflow import prune


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
    scores = scored(network, torch.rand(1, 28, 3))  # 1e12 to the power of 28
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


@pytest.mark.parametrize("in_place", [False, True], ids=["sum", "sum in place"])
def test_a_cell_that_a_model_writes_out_scores_as_torchs(in_place: bool) -> None:
    """All gates come from one sum of two products, of which each gate reads a part."""

    class Recurrent(nn.Module):
        def __init__(self, *, by_hand: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.by_hand = by_hand
            self.lstm, self.last = nn.LSTM(INPUTS, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 2, bias=False)
            for parameter in (self.lstm.bias_ih_l0, self.lstm.bias_hh_l0):
                nn.init.zeros_(parameter)

        def step(self, x: Tensor, state: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
            gates = x @ self.lstm.weight_ih_l0.t()
            recurrent = state @ self.lstm.weight_hh_l0.t()
            if in_place:
                gates += recurrent
            else:
                gates = gates + recurrent
            entering, forgetting, value, leaving = gates.chunk(4, 1)
            cell = forgetting.sigmoid() * cell + entering.sigmoid() * value.tanh()
            return leaving.sigmoid() * cell.tanh(), cell

        def forward(self, sequence: Tensor) -> Tensor:
            if not self.by_hand:
                return self.last(self.lstm(sequence)[0][:, -1])  # type: ignore[no-any-return]
            state = cell = sequence.new_zeros(len(sequence), HIDDEN)
            for x in sequence.unbind(1):
                state, cell = self.step(x, state, cell)
            return self.last(state)  # type: ignore[no-any-return]

    x = torch.ones(1, 4, INPUTS)
    expected, found = (prune.synflow_scores(Recurrent(by_hand=by_hand), x) for by_hand in (False, True))
    for score, value in zip(found.values(), expected.values(), strict=True):
        torch.testing.assert_close(score.as_subclass(Tensor), value.as_subclass(Tensor), rtol=1e-12, atol=0)
        assert bool((score > 0).all())
