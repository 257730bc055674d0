"""torch's layers give their operations the arguments that the signatures say, in that order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.overrides import TorchFunctionMode

from torch_synflow._torch.signatures import Packing, RecurrentCell, RecurrentLayers, Unpacking, attention_arguments

WHERE = "see torch_synflow/_torch/signatures.py"
INPUTS, HIDDEN = 4, 5
X = torch.rand(3, 2, INPUTS)
LENGTHS = torch.tensor([3, 2])


class Seen(TorchFunctionMode):
    """Keeps the arguments of the operations of some names."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in self.names:
            self.calls.append((args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def called(run: Callable[[], object], *names: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the one operation of these names that runs."""
    with Seen(*names) as seen:
        run()
    assert len(seen.calls) == 1, f"expected one call of {' or '.join(names)}, got {len(seen.calls)}; {WHERE}"
    return seen.calls[0]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("both", [False, True], ids=["one_way", "both_ways"])
@pytest.mark.parametrize("first", [False, True], ids=["time_first", "batch_first"])
def test_recurrent_layers(kind: type[nn.RNNBase], packed: bool, both: bool, first: bool) -> None:
    layer = kind(INPUTS, HIDDEN, 2, bidirectional=both, batch_first=first)
    x = X.transpose(0, 1) if first else X
    given = pack_padded_sequence(x, LENGTHS, batch_first=first) if packed else x
    args, kwargs = called(lambda: layer(given), "lstm", "gru", "rnn_tanh")
    message = f"{kind.__name__} gives its operation {len(args)} arguments and {sorted(kwargs)}; {WHERE}"
    assert not kwargs, message
    try:
        found = RecurrentLayers.of(args)
    except (TypeError, ValueError) as error:
        pytest.fail(f"{message}: {error}")
    assert (found.layers, found.directions, found.batch_first) == (2, 1 + both, first and not packed), message
    weights = list(layer.parameters())
    assert len(found.weights) == len(weights), message
    assert all(one is other for one, other in zip(found.weights, weights, strict=True)), message
    states = found.hx if isinstance(found.hx, tuple) else (found.hx,)
    assert [tuple(h.shape) for h in states] == [(2 * (1 + both), 2, HIDDEN)] * (1 + (kind is nn.LSTM)), message
    if packed:
        assert found.x is given.data, message
        assert found.batch_sizes is given.batch_sizes, message
    else:
        assert found.x is x, message
        assert found.batch_sizes is None, message


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("bias", [False, True], ids=["without_bias", "with_bias"])
def test_recurrent_cells(kind: Callable[..., nn.RNNCellBase], bias: bool) -> None:
    cell = kind(INPUTS, HIDDEN, bias=bias)
    args, kwargs = called(lambda: cell(X[0]), "lstm_cell", "gru_cell", "rnn_tanh_cell")
    found = RecurrentCell.of(args, kwargs)
    message = f"{kind.__name__} gives its operation {len(args)} arguments and {sorted(kwargs)}; {WHERE}"
    assert found.x is X[0] or torch.equal(found.x, X[0]), message
    assert found.of_input is cell.weight_ih, message
    assert found.of_state is cell.weight_hh, message
    assert found.input_bias is cell.bias_ih, message
    assert found.state_bias is cell.bias_hh, message
    states = found.hx if isinstance(found.hx, (tuple, list)) else (found.hx,)
    assert [tuple(h.shape) for h in states] == [(2, HIDDEN)] * (1 + (kind is nn.LSTMCell)), message


@pytest.mark.parametrize("first", [False, True], ids=["time_first", "batch_first"])
def test_packing(first: bool) -> None:
    x = X.transpose(0, 1) if first else X
    args, kwargs = called(lambda: pack_padded_sequence(x, LENGTHS, batch_first=first), "_pack_padded_sequence")
    message = f"_pack_padded_sequence has {len(args)} arguments and {sorted(kwargs)}; {WHERE}"
    assert (len(args), kwargs) == (3, {}), message
    found = Packing.of(args)
    assert (found.x is x, found.lengths.tolist(), found.batch_first) == (True, [3, 2], first), message


@pytest.mark.parametrize("first", [False, True], ids=["time_first", "batch_first"])
def test_unpacking(first: bool) -> None:
    packed = pack_padded_sequence(X, LENGTHS)

    def unpack() -> None:
        pad_packed_sequence(packed, batch_first=first, padding_value=0.5, total_length=7)

    args, kwargs = called(unpack, "_pad_packed_sequence")
    message = f"_pad_packed_sequence has {len(args)} arguments and {sorted(kwargs)}; {WHERE}"
    assert (len(args), kwargs) == (5, {}), message
    found = Unpacking.of(args)
    assert found.data is packed.data, message
    assert found.batch_sizes is packed.batch_sizes, message
    assert (found.batch_first, found.padding, found.length) == (first, 0.5, 7), message


def test_attention_has_the_arguments_that_its_surrogate_reads() -> None:
    layer = nn.MultiheadAttention(INPUTS, 2, add_bias_kv=True)
    mask, padding = torch.zeros(3, 3), torch.zeros(2, 3)
    args, kwargs = called(
        lambda: layer(X, X, X, attn_mask=mask, key_padding_mask=padding, average_attn_weights=False),
        "multi_head_attention_forward",
    )
    found = attention_arguments(args, kwargs)
    expected = {
        "query": X, "key": X, "value": X, "num_heads": 2, "in_proj_weight": layer.in_proj_weight,
        "in_proj_bias": layer.in_proj_bias, "bias_k": layer.bias_k, "bias_v": layer.bias_v,
        "out_proj_weight": layer.out_proj.weight, "out_proj_bias": layer.out_proj.bias, "attn_mask": mask,
        "key_padding_mask": padding, "need_weights": True, "average_attn_weights": False,
        "use_separate_proj_weight": False, "q_proj_weight": None, "k_proj_weight": None, "v_proj_weight": None,
    }  # fmt: skip
    wrong = sorted(name for name, value in expected.items() if name not in found or found[name] is not value)
    assert not wrong, f"multi_head_attention_forward has no {wrong} as before, but {sorted(found)}; {WHERE}"
