"""Heads of ``nn.MultiheadAttention`` go, and channels of those that are left; nothing else changes."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.compact.test_training_when_shrunk import OPTIMIZERS, same_weights, train
from torch_synflow import prune
from torch_synflow.compact.narrow import NarrowAttention

WIDTH, HEADS = 12, 3
EACH = WIDTH // HEADS
NEVER = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
#: a name: arguments of the module, and of its call
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "weights returned": ({"batch_first": True}, {}),
    "no weights": ({"batch_first": True}, {"need_weights": False}),
    "no bias": ({"bias": False}, {"need_weights": False}),
    "batch second": ({}, {"need_weights": False}),
    "causal": ({"batch_first": True}, {"need_weights": False, "attn_mask": NEVER, "is_causal": True}),
    "numbers as mask": ({"batch_first": True}, {"attn_mask": torch.linspace(-1, 1, 25).double().view(5, 5)}),
    "a mask per head": ({"batch_first": True}, {"attn_mask": NEVER.expand(4 * HEADS, 5, 5)}),
    "other keys": ({"batch_first": True, "kdim": 7, "vdim": 9}, {"need_weights": False}),
    "memory": ({"batch_first": True}, {"need_weights": False}),
}


class Attending(nn.Module):
    """Attention of tokens to themselves, to others of other widths, or to a memory."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        given, self.call = KINDS[kind]
        self.kind, self.dims = kind, (given.get("kdim", WIDTH), given.get("vdim", WIDTH))
        self.into, self.norm = nn.Linear(6, WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, **given)
        self.key, self.value = (nn.Linear(6, dim) for dim in self.dims)
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.into(x))
        key = value = tokens
        if self.kind == "other keys":
            key, value = self.key(x), self.value(x)
        elif self.kind == "memory":
            key = value = self.key(x)
        if self.kind in ("no bias", "batch second"):
            tokens = key = value = tokens.transpose(0, 1)
        y = self.attention(tokens, key, value, **self.call)[0]
        y = y.transpose(0, 1) if self.kind in ("no bias", "batch second") else y
        return self.head((tokens if y.shape == tokens.shape else y).mean(1) + y.mean(1))


def projections(attention: nn.MultiheadAttention) -> list[tuple[str, slice]]:
    """The parameters of queries, keys and values, and their rows of these."""
    if attention.in_proj_weight is None:
        return [(f"{part}_proj_weight", slice(None)) for part in "qkv"]
    return [("in_proj_weight", slice(place * WIDTH, (place + 1) * WIDTH)) for place in range(3)]


def emptied(attention: nn.MultiheadAttention, queries: list[int], keys: list[int], values: list[int]) -> None:
    """Mask all but these rows of queries, keys and values."""
    found: dict[str, Tensor] = {}
    for (name, rows), kept in zip(projections(attention), (queries, keys, values), strict=True):
        mask = found.setdefault(name, torch.zeros_like(getattr(attention, name)))
        mask[rows][kept] = 1
    for name, mask in found.items():
        prune.custom_from_mask(attention, name, mask)


def made(kind: str) -> tuple[Attending, Tensor]:
    """Head 1 has no value, head 0 two channels of queries with keys and three of values, head 2 one and two."""
    model = Attending(kind)
    for bias in (model.attention.in_proj_bias, model.attention.out_proj.bias):
        if bias is not None:
            nn.init.normal_(bias)
    emptied(model.attention, [0, 1, 2, 5, 8, 9], [0, 2, 3, 4, 5, 9], [0, 1, 2, 8, 11])
    return model.double(), torch.randn(4, 5, 6, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_the_same_with_fewer_heads_and_narrower_ones(kind: str) -> None:
    model, x = made(kind)
    small = prune.shrink(model, x)
    attention = small.attention
    assert isinstance(attention, NarrowAttention)
    keys = 2 if kind == "no bias" else 3  # without a bias a query of zeros is zero
    assert (attention.num_heads, attention.query_channels, attention.value_channels) == (2, keys, 3)
    assert sum(len(getattr(attention, name)) for name in dict(projections(attention))) == 2 * (2 * keys + 3)
    for training in (False, True):
        for other in (x, torch.randn_like(x)):
            torch.testing.assert_close(
                small.train(training)(other), model.train(training)(other), rtol=1e-12, atol=1e-12
            )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["weights returned", "no bias", "other keys"])
def test_training_goes_on_as_with_masks(kind: str, optimizer: str) -> None:
    model, x = made(kind)
    twin, _ = made(kind)
    ours = OPTIMIZERS[optimizer](twin.parameters())
    given = [(torch.randn_like(x), torch.randint(0, 4, (len(x),))) for _ in range(5)] * 20
    other = OPTIMIZERS[optimizer](model.parameters())
    for one, its in ((model, other), (twin, ours)):
        train(one, its, given[:5])
    small = prune.shrink(twin, x, optimizer=ours)
    expected = train(model, other, given)
    torch.testing.assert_close(train(small, ours, given), expected, rtol=1e-9, atol=1e-9)
    assert float(expected[-5:].mean()) < 0.9 * float(expected[:5].mean())
    same_weights(prune.shrink(model, x), small)


def test_a_head_whose_values_are_biases_passes_them_on() -> None:
    model, x = made("no weights")
    small = prune.shrink(model, x)
    assert len(small.attention.in_proj_bias) == 2 * (2 * 3 + 3) + WIDTH - 2 * 3
    assert small.attention.out_proj.weight.shape == (WIDTH, WIDTH)
    notes = next(layer.notes for layer in small.shrink_report.layers if layer.name == "attention")
    assert "2 of 3 heads, with 3 of 4 channels of queries and 3 of 4 of values" in notes
    assert "6 values pass on a constant, attention.in_proj_bias, that is trained" in notes
    assert "6 stay so that all heads have the same number of channels" in notes


def test_without_a_bias_a_head_goes_with_its_columns_of_the_output() -> None:
    model, x = made("no bias")
    assert prune.shrink(model, x).attention.out_proj.weight.shape == (WIDTH, 2 * 3)


class _Weights(Attending):
    def forward(self, x: Tensor) -> Tensor:
        y, weights = self.attention(*[self.into(x)] * 3)
        return self.head(y.mean(1)) + weights.mean((1, 2))[:, None]


def test_all_heads_stay_whose_weights_are_read() -> None:
    model = _Weights("weights returned")
    emptied(model.attention, [0], [0], [0])
    small = prune.shrink(model, torch.randn(4, 5, 6))
    assert type(small.attention) is nn.MultiheadAttention
    assert small.attention.in_proj_weight.shape == (3 * WIDTH, WIDTH)


@pytest.mark.parametrize("given", [{"add_bias_kv": True}, {"add_zero_attn": True}])
def test_attention_with_another_key_stays_whole_and_the_report_says_why(given: dict[str, Any]) -> None:
    model, x = made("weights returned")
    model.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **given).double()
    emptied(model.attention, [0, 1], [1, 2], [0, 1])
    small = prune.shrink(model, x)
    assert type(small.attention) is nn.MultiheadAttention
    assert "stays whole, because it attends to a key of its own" in str(small.shrink_report)


def test_values_without_weights_stay_where_dropout_or_padding_makes_weights_sum_to_less() -> None:
    model, x = made("no weights")
    model.attention.dropout = 0.5
    small = prune.shrink(model, x)
    assert (small.attention.num_heads, small.attention.query_channels, small.attention.value_channels) == (3, 3, 4)
    torch.testing.assert_close(small.eval()(x), model.eval()(x), rtol=1e-12, atol=1e-12)


def test_padding_is_taken_by_the_narrow_module() -> None:
    model, x = made("weights returned")
    model.call = {"key_padding_mask": torch.arange(5).expand(4, 5) >= torch.tensor([[2], [5], [3], [4]])}
    small = prune.shrink(model, x)
    assert (small.attention.num_heads, small.attention.query_channels) == (3, 3)
    torch.testing.assert_close(small.eval()(x), model.eval()(x), rtol=1e-12, atol=1e-12)


def test_without_a_batch_and_with_the_weights_of_each_head() -> None:
    model, x = made("weights returned")
    small = prune.shrink(model, x)
    tokens = torch.randn(5, WIDTH, dtype=torch.float64)
    wide, narrow = (one.attention(*[tokens] * 3, average_attn_weights=False) for one in (model, small))
    torch.testing.assert_close(narrow[0], wide[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(narrow[1], wide[1][[0, 2]], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
def test_torchs_encoder_layer_takes_it(training: bool) -> None:
    """Whose fast path reads the parameters of attention itself."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, batch_first=True)
    model = nn.Sequential(nn.Linear(6, WIDTH), layer, nn.Linear(WIDTH, 4)).double()
    emptied(layer.self_attn, [0, 1, 2], [0, 2], [0, 1, 2])
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    small = prune.shrink(model, x).train(training)
    assert isinstance(small[1].self_attn, NarrowAttention)
    with torch.no_grad():
        torch.testing.assert_close(small(x), model.train(training)(x), rtol=1e-12, atol=1e-12)


class _Encoded(nn.Module):
    """Torch's encoder, which makes nested tensors of padded batches in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, batch_first=True)
        self.into, self.encoder, self.head = nn.Linear(6, WIDTH), nn.TransformerEncoder(layer, 1), nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        return self.head(self.encoder(self.into(x), src_key_padding_mask=padding))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("padded", [False, True])
def test_torchs_encoder_with_padding_keeps_its_attention(padded: bool) -> None:
    model, x = _Encoded().double(), torch.randn(3, 5, 6, dtype=torch.float64)
    emptied(model.encoder.layers[0].self_attn, [0, 1, 2], [0, 2], [0, 1, 2])
    padding = torch.arange(5).expand(3, 5) >= torch.tensor([[2], [5], [3]])
    small = prune.shrink(model, (x, padding) if padded else x).eval()
    assert isinstance(small.encoder.layers[0].self_attn, NarrowAttention) != padded
    assert ("makes nested tensors of padded batches" in str(small.shrink_report)) == padded
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(small(x), model(x), rtol=1e-12, atol=1e-12)
        found, expected = small(x, padding), model(x, padding)
    there = ~padding
    torch.testing.assert_close(found[there], expected[there], rtol=1e-12, atol=1e-12)
    if padded:
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_what_is_left_is_saved_copied_pruned_and_shrunk_again() -> None:
    model, x = made("no weights")
    small = prune.shrink(model, x).eval()
    file = io.BytesIO()
    torch.save(small, file)
    file.seek(0)
    loaded = prune.load_pruned(prune.shrink(model, x), small.state_dict())
    for one in (torch.load(file, weights_only=False), copy.deepcopy(small), loaded or small):
        assert torch.equal(one.eval()(x), small(x))
    before = int(prune.masks(small)["attention.in_proj_weight"].sum())
    prune.global_iterative_unstructured(small, prune.SynFlow, 0.6, example_inputs=x[:1], iterations=2)
    assert int(prune.masks(small)["attention.in_proj_weight"].sum()) < before
    torch.testing.assert_close(prune.shrink(small, x).eval()(x), small.eval()(x), rtol=1e-12, atol=1e-12)
    prune.remove_all(small)
    assert F.mse_loss(small(x), model(x)) > 0
