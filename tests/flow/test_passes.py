"""The synaptic-flow surrogate: each operation against a dense float64 counterpart, conservation, unknown operations."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.training.networks import resnet
from torch_synflow import flow, prune
from torch_synflow.flow.surrogate.exponents import ScaledFlow
from torch_synflow.flow.surrogate.operations import REGISTERED
from torch_synflow.methods import synflow

Totals = dict[str, float]
X = torch.ones(1, 6)
IMAGE = torch.ones(1, 3, 8, 8)


def totals(model: nn.Module, x: Any = X) -> Totals:
    """The sum of the scores of each prunable weight; all are checked to be positive and finite."""
    names = {module: name for name, module in model.named_modules()}
    found = {}
    for (module, name), score in prune.synflow_scores(model, x).items():
        assert torch.isfinite(score).all()
        assert torch.equal(score > 0, getattr(module, name) != 0), names[module]
        found[names[module]] = float(score.sum())
    return found


def without_biases(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name.rpartition(".")[2]:
                parameter.zero_()
    return model


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def around(middle: nn.Module) -> nn.Sequential:
    """Two linear layers around ``middle``."""
    return nn.Sequential(nn.Linear(6, 8), middle, nn.Linear(8, 3))


def agrees(model: nn.Sequential, counterpart: Callable[[Tensor], Tensor]) -> None:
    """The scores of ``around(...)`` are those of the same layers, positive, around ``counterpart``."""
    first, last = (
        [p.detach().double().abs().requires_grad_() for p in layer.parameters()] for layer in (model[0], model[2])
    )
    hidden = counterpart(F.linear(X.double(), *first))
    R = F.linear(hidden, *last).sum()  # noqa: N806
    expected = [w * g for w, g in zip((first[0], last[0]), torch.autograd.grad(R, (first[0], last[0])), strict=True)]
    scores = prune.synflow_scores(model, X)
    for layer, value in zip((model[0], model[2]), expected, strict=True):
        torch.testing.assert_close(scores[layer, "weight"].as_subclass(Tensor), value.detach(), rtol=1e-12, atol=0)


# --- operations ---------------------------------------------------------------------------------------------

ACTIVATIONS: list[Callable[[Tensor], Tensor]] = [
    nn.ReLU(), nn.ReLU6(), nn.Hardtanh(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Hardswish(), nn.ELU(), nn.SELU(),
    nn.CELU(), nn.LeakyReLU(), nn.PReLU(), nn.Softplus(), nn.Mish(), nn.Tanh(), nn.Sigmoid(), nn.Hardsigmoid(),
    nn.LogSigmoid(), nn.Softsign(), nn.Tanhshrink(), nn.Hardshrink(), nn.Softshrink(), nn.Threshold(0.1, 0.0),
    nn.RReLU(), nn.ReLU6(inplace=True), nn.SiLU(inplace=True), nn.Hardswish(inplace=True), nn.ELU(inplace=True),
    nn.Dropout(0.5), nn.AlphaDropout(0.5), nn.LogSoftmax(-1), torch.tanh, torch.sigmoid, torch.erf,
    lambda x: x.clamp(0, 6), lambda x: x.clamp_(max=1.0), lambda x: x.tanh_(), lambda x: F.relu6(x, inplace=True),
    lambda x: x * torch.sigmoid(x), lambda x: torch.sigmoid(x) * x, lambda x: x * torch.tanh(F.softplus(x)),
    lambda x: x * (F.relu6(x + 3) / 6), lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))) * 2,
    lambda x: x * torch.sigmoid(1.702 * x), lambda x: x.clone().mul_(x.sigmoid()), lambda x: x**2,
    lambda x: x.neg().neg(), F.gelu, lambda x: F.silu(x).add_(0),
    lambda x: x - x.mean(-1, keepdim=True), lambda x: x * x,
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(ACTIVATIONS)))
def test_activations_are_the_identity_on_a_positive_flow(index: int) -> None:
    activation = ACTIVATIONS[index]
    agrees(around(activation if isinstance(activation, nn.Module) else Of(activation)), lambda x: x)


def over_rms(x: Tensor, dims: tuple[int, ...] = (-1,), eps: float = 1e-5) -> Tensor:
    return x / (x.square().mean(dims, keepdim=True) + eps).sqrt().detach()


def test_layer_norm_is_scaled_and_not_centred() -> None:
    norm = nn.LayerNorm(8)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    gamma, beta = (p.detach().double().abs() for p in norm.parameters())
    agrees(around(norm), lambda x: over_rms(x) * gamma + beta)
    agrees(around(nn.LayerNorm(8, elementwise_affine=False)), over_rms)


@pytest.mark.skipif(not hasattr(nn, "RMSNorm"), reason="torch is older than RMSNorm")
def test_rms_norm() -> None:
    norm = nn.RMSNorm(8, eps=1e-3)
    nn.init.normal_(norm.weight)
    agrees(around(norm), lambda x: over_rms(x, eps=1e-3) * norm.weight.detach().double().abs())


def test_group_and_instance_norm() -> None:
    norm = nn.GroupNorm(2, 8)
    nn.init.normal_(norm.weight)
    gamma = norm.weight.detach().double().abs()
    agrees(around(norm), lambda x: over_rms(x.view(1, 2, 4)).reshape(1, 8) * gamma)
    image = nn.Sequential(nn.Unflatten(1, (2, 4)), nn.InstanceNorm1d(2), nn.Flatten())
    agrees(around(image), lambda x: over_rms(x.view(1, 2, 4)).reshape(1, 8))
    batch = nn.Sequential(nn.Unflatten(1, (2, 4)), nn.BatchNorm1d(2, track_running_stats=False), nn.Flatten())
    agrees(around(batch), lambda x: over_rms(x.view(1, 2, 4), (0, 2)).reshape(1, 8))


def test_batch_norm_in_evaluation_is_affine_as_it_is() -> None:
    norm = nn.BatchNorm1d(8)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.normal_(norm.running_mean, std=1e-3)
    var, mean = norm.running_var.double(), norm.running_mean.double().abs()
    agrees(around(norm), lambda x: (x - mean) / (var + norm.eps).sqrt())


def test_normalisation_written_out() -> None:
    agrees(around(Of(lambda x: x / x.norm(dim=-1, keepdim=True))), lambda x: x / x.norm(dim=-1, keepdim=True).detach())
    agrees(around(Of(lambda x: F.normalize(x, dim=-1))), lambda x: x / x.norm(dim=-1, keepdim=True).detach())
    agrees(around(Of(lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True)))), lambda x: x)


def test_softmax_is_divided_by_its_detached_sum() -> None:
    agrees(around(nn.Softmax(-1)), lambda x: x / x.sum(-1, keepdim=True).detach())


def test_offsets_and_factors_that_are_constants_are_positive() -> None:
    shift, scale = torch.randn(8), torch.randn(8)
    agrees(around(Of(lambda x: (x - shift) * scale - 2)), lambda x: (x + shift.abs()) * scale.abs() + 2)
    agrees(around(Of(lambda x: x.add(shift).div(-2.0).sub_(0.5))), lambda x: (x + shift.abs()) / 2 + 0.5)


def test_moves_and_sums_are_as_they_are() -> None:
    agrees(
        around(Of(lambda x: torch.cat([x[:, :4].view(1, 2, 2).transpose(1, 2).flatten(1), x[:, 4:] + x[:, :4]], 1))),
        lambda x: torch.cat([x[:, :4].view(1, 2, 2).transpose(1, 2).flatten(1), x[:, 4:] + x[:, :4]], 1),
    )


def test_writing_into_parts() -> None:
    def write(x: Tensor) -> Tensor:
        out = torch.zeros(1, 8, dtype=x.dtype)
        out[:, :4] = x[:, 4:]
        y = x.clone()
        y[:, 2:6] = 2 * x[:, :4]
        return out + y

    agrees(
        around(Of(write)),
        lambda x: torch.cat([x[:, 4:], 0 * x[:, 4:]], 1) + torch.cat([x[:, :2], 2 * x[:, :4], x[:, 6:]], 1),
    )


def test_plain_networks_score_as_by_definition() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, groups=2, stride=2, dilation=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 3),
    ).eval()  # fmt: skip
    scores = prune.synflow_scores(model, IMAGE)
    positive = model.double()
    with torch.no_grad():
        for parameter in positive.parameters():
            parameter.abs_()
    positive(IMAGE.double()).sum().backward()
    for (module, name), score in scores.items():
        weight = getattr(module, name)
        torch.testing.assert_close(score.as_subclass(Tensor), weight.grad * weight.detach(), rtol=1e-12, atol=0)


def test_embeddings_are_ones_and_tokens_the_input() -> None:
    model = nn.Sequential(nn.Embedding(10, 6), nn.Linear(6, 3))
    scores = prune.synflow_scores(model, torch.tensor([[1, 2]]))
    expected = 2 * model[1].weight.detach().double().abs()
    torch.testing.assert_close(scores[model[1], "weight"].as_subclass(Tensor), expected)


# --- gates --------------------------------------------------------------------------------------------------


class SqueezeExcite(nn.Module):
    """A block as in MobileNetV3 and EfficientNet."""

    def __init__(self, gate: Callable[[Tensor], Tensor], channels: int = 8) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, 4, 1)
        self.fc2 = nn.Conv2d(4, channels, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        scale = self.gate(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))
        return self.product(x, scale)

    def product(self, x: Tensor, scale: Tensor) -> Tensor:
        return scale * x


class InPlace(SqueezeExcite):
    def product(self, x: Tensor, scale: Tensor) -> Tensor:
        x = x.clone()
        x.mul_(scale.expand_as(x))
        return x


@pytest.mark.parametrize("kind", [SqueezeExcite, InPlace])
@pytest.mark.parametrize("gate", [torch.sigmoid, F.hardsigmoid, lambda x: F.relu6(x + 3) / 6])
@pytest.mark.parametrize("before", [nn.SiLU(), nn.Identity(), nn.Hardswish(inplace=True), nn.ReLU6()])
def test_squeeze_excite_counts_upstream_once_and_carries_the_blocks_flow(
    kind: type[SqueezeExcite], gate: Callable[[Tensor], Tensor], before: nn.Module
) -> None:
    blocks = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), before, kind(gate)) for _ in range(3)]
    model = without_biases(nn.Sequential(nn.Conv2d(3, 8, 3), *blocks, nn.Flatten(), nn.Linear(8 * 36, 4)))
    found = totals(model, IMAGE)
    R = found["5"]  # noqa: N806
    for name, total in found.items():
        share = 1.0
        if name.rpartition(".")[2] in ("fc1", "fc2") and gate not in (torch.sigmoid, F.hardsigmoid):
            assert 0 < total < R  # the 3 of relu6(x + 3) is a bias of the gate
        else:
            assert total == pytest.approx(share * R, rel=1e-9), name


def test_a_gate_without_weights_left_is_open() -> None:
    model = without_biases(
        nn.Sequential(nn.Conv2d(3, 8, 3), SqueezeExcite(torch.sigmoid), nn.Flatten(), nn.Linear(288, 4))
    )
    pruned = prune.custom_from_mask(model[1].fc2, "weight", torch.zeros_like(model[1].fc2.weight))
    scores = prune.synflow_scores(model, IMAGE)
    assert not scores[pruned, "weight"].any()
    assert (scores[model[0], "weight"] > 0).all()


def test_glu_and_its_relatives() -> None:
    class SwiGLU(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(6, 8)

        def forward(self, x: Tensor) -> Tensor:
            return F.silu(self.a(x)) * self.b(x)

    found = totals(without_biases(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), SwiGLU(), nn.Linear(8, 3))))
    assert list(found.values()) == pytest.approx([found["3"]] * 4)
    # both halves of one layer carry the flow: the main one and the gate
    found = totals(without_biases(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 16), nn.GLU(), nn.Linear(8, 3))))
    assert list(found.values()) == pytest.approx([found["3"], 2 * found["3"], found["3"]])


class Attention(nn.Module):
    """Self-attention in the ways that models write it."""

    def __init__(self, form: str, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.form, self.heads = form, heads
        if form == "module":
            self.inner = nn.MultiheadAttention(width, heads, batch_first=True)
        elif form == "separate":
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        else:
            self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "module":
            return self.proj(self.inner(x, x, x, need_weights=False)[0])
        batch, length, width = x.shape
        if self.form == "separate":
            qkv = [layer(x).view(batch, length, self.heads, -1).transpose(1, 2) for layer in (self.q, self.k, self.v)]
        else:
            qkv = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        query, key, value = qkv
        if self.form == "function":
            out = F.scaled_dot_product_attention(query, key, value)
        elif self.form == "einsum":
            rows = torch.softmax(torch.einsum("bhid,bhjd->bhij", query, key), -1)
            out = torch.einsum("bhij,bhjd->bhid", rows, value)
        else:
            rows = (query @ key.transpose(-2, -1) * 0.5).softmax(dim=-1)
            out = F.dropout(rows, 0.1, self.training) @ value
        return self.proj(out.transpose(1, 2).reshape(batch, length, width))


@pytest.mark.parametrize("form", ["module", "separate", "function", "einsum", "fused"])
def test_attention_counts_upstream_once_and_q_and_k_carry_the_blocks_flow(form: str) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(8)
            self.attention = Attention(form)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(self.norm(x))

    model = without_biases(nn.Sequential(nn.Linear(6, 8), nn.GELU(), Block(), Block(), nn.Linear(8, 3)))
    tokens = torch.ones(1, 5, 6)
    parameters = prune.prunable_parameters(model)
    if form == "module":
        parameters += [(block.attention.inner, "in_proj_weight") for block in (model[2], model[3])]
    names = {module: name for name, module in model.named_modules()}
    scores = prune.synflow_scores(model, tokens, parameters)
    R = float(scores[model[4], "weight"].sum())  # noqa: N806
    for (module, name), score in scores.items():
        parts = score.chunk(3) if names[module].endswith("qkv") or name == "in_proj_weight" else [score]
        for part in parts:
            assert (part > 0).all(), names[module]
            assert float(part.sum()) == pytest.approx(R, rel=1e-9), names[module]


def test_multi_head_attention_with_separate_projections_masks_and_returned_weights() -> None:
    model = nn.MultiheadAttention(8, 2, kdim=4, vdim=5, batch_first=True, add_bias_kv=True, add_zero_attn=True)
    inputs = {"query": torch.ones(1, 5, 8), "key": torch.ones(1, 3, 4), "value": torch.ones(1, 3, 5)}
    inputs |= {
        "key_padding_mask": torch.tensor([[False, False, True]]),
        "attn_mask": torch.zeros(5, 3, dtype=torch.bool),
    }
    names = ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
    scores = prune.synflow_scores(model, inputs, [(model, name) for name in names])
    assert all((score > 0).all() for score in scores.values())


def test_torchs_transformers_are_conserved() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu")
    encoder = nn.Sequential(nn.Linear(6, 8), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
    found = totals(without_biases(nn.Sequential(encoder, nn.Linear(8, 3))), torch.ones(5, 6))
    assert found["0.0"] == pytest.approx(found["1"], rel=1e-9)
    assert max(found.values()) == pytest.approx(found["1"], rel=1e-9)
    whole = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    for score in prune.synflow_scores(whole, (torch.ones(1, 5, 8), torch.ones(1, 3, 8))).values():
        assert (score > 0).all()


class Patches(nn.Module):
    """A transformer of patches with learned tokens and positions."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 8))
        self.pos_embed = nn.Parameter(100 * torch.randn(1, 5, 8))
        self.pos_scale = nn.Parameter(torch.rand(8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1) + self.pos_embed
        out: torch.Tensor = self.head(self.block(tokens * self.pos_scale)[:, 0])
        return out


def test_learned_tokens_and_positions_start_no_flow() -> None:
    model = without_biases(Patches())
    found = totals(model, IMAGE)
    assert found["patch"] == pytest.approx(found["head"], rel=1e-9)
    scores = prune.synflow_scores(model, IMAGE)
    with torch.no_grad():
        model.pos_embed.zero_()
        model.cls_token.zero_()
    for pair, score in prune.synflow_scores(model, IMAGE).items():
        torch.testing.assert_close(score, scores[pair], rtol=0, atol=0)


def test_positions_that_are_scored_are_read_as_they_are() -> None:
    model = without_biases(Patches())
    score = prune.synflow_scores(model, IMAGE, [(model, "pos_embed")])[model, "pos_embed"]
    assert (score[0, 1:] > 0).all()


@pytest.mark.parametrize("mask", ["causal", "boolean", "added", "filled"])
def test_masks_of_attention_block(mask: str) -> None:
    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    added = torch.zeros(4, 4).masked_fill(~causal, -math.inf)

    def attend(x: Tensor) -> Tensor:
        if mask == "filled":
            return ((x @ x.transpose(-2, -1)).masked_fill(~causal, -math.inf).softmax(-1) @ x)[:, 0]
        kwargs: dict[str, Any] = {"causal": {"is_causal": True}, "boolean": {"attn_mask": causal}}.get(
            mask, {"attn_mask": added}
        )
        return F.scaled_dot_product_attention(x, x, x, **kwargs).select(1, 0)

    # the first token sees only itself, so positions of the others do not arrive
    model = nn.Sequential(nn.Linear(6, 4), Of(lambda x: torch.diag_embed(x)), Of(attend), nn.Linear(4, 3))
    scores = prune.synflow_scores(without_biases(model), X)
    assert scores[model[0], "weight"][0].all()
    assert not scores[model[0], "weight"][1:].any()


def test_residual_layer_norm_and_group_norm_networks_are_conserved() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8)
            self.gamma = nn.Parameter(torch.full((8, 1, 1), -1e-3))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.gamma * F.gelu(self.conv(self.norm(x)))

    model = nn.Sequential(nn.Conv2d(3, 8, 3), Block(), Block(), nn.Flatten(), nn.LayerNorm(288), nn.Linear(288, 4))
    found = totals(without_biases(model), IMAGE)
    assert found["0"] == pytest.approx(found["5"], rel=1e-9)
    assert max(found.values()) == pytest.approx(found["5"], rel=1e-9)


# --- zeros, unused layers, unknown operations ---------------------------------------------------------------


def test_tensors_that_are_zero_throughout_are_read_as_ones_and_named_once() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[3].weight)
    with pytest.warns(UserWarning, match=r"zero throughout, so read as ones: 1\.weight, 3\.weight") as caught:
        report = prune.global_iterative_unstructured(model, prune.SynFlow, 0.9, example_inputs=X)
    assert len(caught) == 1
    assert report.empty_layers == ()


def with_an_offset(name: str, value: float) -> nn.Module:
    """Two linear layers, and between them an offset that is held under a name."""

    class Offset(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + getattr(self, name)

    model = nn.Sequential(Offset(6, 8, bias=False), nn.Linear(8, 3, bias=False))
    model[0].register_parameter(name, nn.Parameter(torch.full((8,), value)))
    return model


@pytest.mark.parametrize("name", ["bias", "bias1", "in_bias", "relative_position_bias_table", "cls_token"])
def test_an_offset_that_is_zero_stays_zero(name: str) -> None:
    found = totals(with_an_offset(name, 0.0))
    assert found["0"] == pytest.approx(found["1"], rel=1e-9)


@pytest.mark.parametrize("name", ["relative_position_bias_table", "pos_scale", "position_weight"])
def test_what_is_no_token_keeps_its_value(name: str) -> None:
    model = with_an_offset(name, 1.0)
    found = totals(model)
    assert found["1"] == pytest.approx(found["0"] + float(model[1].weight.detach().abs().sum()), rel=1e-6)


def test_a_tensor_whose_mask_is_empty_stays_zero() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.zeros_(model[2].weight)
    prune.custom_from_mask(model[2], "weight", torch.zeros(3, 8))
    assert not any(score.any() for score in prune.synflow_scores(model, X).values())


def test_layers_that_no_path_uses_are_named_and_pruned_first() -> None:
    class Aux(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head, self.aux = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.body(x))
            aux = self.aux(x)
            return self.head(x) + aux if self.training else self.head(x)

    model = Aux()
    with pytest.warns(UserWarning, match=r"no path from input to output in evaluation mode.*: aux\.weight$") as caught:
        report = prune.global_iterative_unstructured(model, prune.SynFlow, 24, example_inputs=X, iterations=3)
    assert len(caught) == 1
    assert report.empty_layers == ("aux.weight",)
    assert bool(model.body.weight_mask.all())


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return -2 * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -2 * gradient


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda x: Doubled.apply(x), "Doubled"),
        (lambda x: torch.cos(x) * 0.0, "cos"),
        (lambda x: torch.sin(100 * x) - 5 * torch.lgamma(0 * x), "sin"),
        (lambda x: x.detach(), "detach"),
    ],
)
def test_an_unknown_operation_that_spoils_the_scores_is_named(operation: Callable[[Tensor], Tensor], name: str) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Sequential(nn.ReLU(), Of(operation)), nn.Linear(8, 3))
    message = rf"SynFlow scores, got .*'{name}' in module '1\.1 \(Of\)'.*torch_synflow\.flow\.register"
    with pytest.raises(ValueError, match=message):
        prune.synflow_scores(model, X)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_an_unknown_operation_that_does_no_harm_is_passed_through() -> None:
    agrees(around(Of(lambda x: torch.sinh(x))), torch.sinh)


@pytest.fixture
def registry() -> Iterator[None]:
    before = dict(REGISTERED)
    yield
    REGISTERED.clear()
    REGISTERED.update(before)


@pytest.mark.usefixtures("registry")
def test_register_as_a_call_and_as_a_decorator() -> None:
    flow.register(torch.cos, lambda x: torch.relu(x))
    agrees(around(Of(torch.cos)), lambda x: x)

    @flow.register(Doubled)
    def read(x: Tensor) -> Tensor:
        return 2 * x

    agrees(around(Of(lambda x: Doubled.apply(x))), lambda x: 2 * x)
    assert read(1) == 2
    flow.register(torch.Tensor.sigmoid)(lambda x: 3 * x)  # over the surrogate that there is
    agrees(around(Of(lambda x: x.sigmoid())), lambda x: 3 * x)


def test_register_refuses_what_can_not_be_called() -> None:
    with pytest.raises(TypeError, match=r"operation: expected what the model calls, such as torch.special.erf, got"):
        flow.register("erf", torch.relu)
    with pytest.raises(TypeError, match=r"surrogate: expected a function"):
        flow.register(torch.erf, 3)


def test_a_model_that_caches_between_passes() -> None:
    class Caching(SqueezeExcite):
        cache: Tensor | None = None

        def product(self, x: Tensor, scale: Tensor) -> Tensor:
            if self.cache is None:
                self.cache = self.fc1.weight.abs().sum().detach() * 0 + 1
            return x * scale * self.cache

    model = without_biases(nn.Sequential(nn.Conv2d(3, 8, 3), Caching(torch.sigmoid), nn.Flatten(), nn.Linear(288, 4)))
    found = totals(model, IMAGE)
    assert list(found.values()) == pytest.approx([found["3"]] * 4)
    assert model[1].cache is None


# --- depth --------------------------------------------------------------------------------------------------


def up_to_a_factor(scores: dict[Any, Tensor], expected: dict[Any, Tensor]) -> None:
    largest = max(expected, key=lambda pair: float(expected[pair].max()))
    factor = scores[largest].sum() / expected[largest].sum()
    for pair, score in expected.items():
        torch.testing.assert_close(scores[pair], score * factor, rtol=1e-9, atol=0)


def scaled_scores(monkeypatch: pytest.MonkeyPatch, model: nn.Module, x: Any) -> dict[Any, Tensor]:
    """The scores on values times powers of two, although the plain ones are finite."""
    with monkeypatch.context() as patch:
        patch.setattr(synflow, "Flow", ScaledFlow)
        return prune.synflow_scores(model, x)


@pytest.mark.parametrize("norm", [True, False])
def test_powers_of_two_change_nothing_on_a_residual_network(monkeypatch: pytest.MonkeyPatch, norm: bool) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)

        def forward(self, x: Tensor) -> Tensor:
            x = x + F.relu(self.norm(self.conv(x)) if norm else self.conv(x))
            x += 0.5
            return torch.cat([x[:, :3], 3 * x[:, 3:] - 1], 1)

    model = nn.Sequential(nn.Conv2d(3, 6, 3), *[Block() for _ in range(4)], nn.Flatten(), nn.Linear(216, 4))
    for block in model[1:5]:
        nn.init.uniform_(block.norm.running_mean, 0, 1e-3)
        nn.init.uniform_(block.norm.bias, 0, 1e-1)
    model.eval()
    up_to_a_factor(scaled_scores(monkeypatch, model, IMAGE), prune.synflow_scores(model, IMAGE))


@pytest.mark.parametrize("form", ["module", "separate", "function", "einsum", "fused"])
def test_powers_of_two_change_nothing_on_gates_and_attention(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), Attention(form), nn.GELU(), nn.Linear(8, 6), nn.GLU())
    x = torch.ones(1, 5, 6)
    up_to_a_factor(scaled_scores(monkeypatch, model, x), prune.synflow_scores(model, x))
    convolutional = nn.Sequential(nn.Conv2d(3, 8, 3), SqueezeExcite(torch.sigmoid), nn.Flatten(), nn.Linear(288, 4))
    up_to_a_factor(scaled_scores(monkeypatch, convolutional, IMAGE), prune.synflow_scores(convolutional, IMAGE))


@pytest.mark.parametrize("weight", [3.0, 0.01])
def test_an_mlp_of_2000_layers_is_that_of_rational_arithmetic(weight: float) -> None:
    """With equal layers of two units every score of a layer is R / 4 but for a factor that all share."""
    layers = [nn.Linear(2, 2, bias=False) for _ in range(2000)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.fill_(weight)
            layer.weight[0, 0] = -3 * weight
    model = nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())])
    scores = prune.synflow_scores(model, torch.ones(1, 2))
    # matrices in integers: forward and backward vectors of the positive network, weights 3 1 1 1
    forward, backward = [(1, 1)], [(1, 1)]
    for _ in range(1999):
        a, b = forward[-1]
        forward.append((3 * a + b, a + b))
        a, b = backward[-1]
        backward.append((3 * a + b, a + b))
    total = None
    for index in (0, 1, 2, 999, 1997, 1998, 1999):
        exact = [
            [Fraction(u * w * v) for v, w in zip(forward[index], row, strict=True)]
            for u, row in zip(backward[1999 - index], ((3, 1), (1, 1)), strict=True)
        ]
        whole = sum(value for row in exact for value in row)
        score = scores[layers[index], "weight"]
        total = score.sum() if total is None else total
        expected = torch.tensor([[float(value / whole) for value in row] for row in exact], dtype=torch.float64)
        torch.testing.assert_close(score.as_subclass(Tensor), expected * float(total), rtol=1e-9, atol=0)


@pytest.mark.slow
def test_resnet_1202_is_finite_and_conserved() -> None:
    model = resnet(1202)
    scores = prune.synflow_scores(model, torch.ones(1, 3, 32, 32))
    assert all(score.isfinite().all() and score.any() for score in scores.values())


# --- torchvision --------------------------------------------------------------------------------------------

SMALL = [("mobilenet_v2", 32), ("mobilenet_v3_small", 32), ("efficientnet_b0", 32), ("regnet_y_400mf", 32)]
LARGE = [("densenet121", 32), ("convnext_tiny", 32), ("vit_b_32", 224), ("swin_t", 32), ("swin_v2_t", 64),
         ("maxvit_t", 224), ("googlenet", 224)]  # fmt: skip


@pytest.mark.parametrize(("name", "size"), [*SMALL, *(pytest.param(*c, marks=pytest.mark.slow) for c in LARGE)])
def test_torchvision_models_conserve_flow(name: str, size: int) -> None:
    models = pytest.importorskip("torchvision.models")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = without_biases(models.get_model(name)).eval()
        scores = prune.synflow_scores(model, torch.ones(1, 3, size, size))
    named = {module: key for key, module in model.named_modules()}
    sums = {named[module]: float(score.sum()) for (module, _), score in scores.items() if "aux" not in named[module]}
    (first, *_, last) = sums.values()
    assert first == pytest.approx(last, rel=1e-6)
    for (module, kind), score in scores.items():
        weight = getattr(module, kind)
        assert torch.isfinite(score).all()
        assert (score >= 0).all()
        assert sums.get(named[module], 0) <= (3 if re.search("qkv", named[module]) else 1 + 1e-6) * last
        if size == 224 and weight.any() and named[module] in sums:
            assert torch.equal(score > 0, weight != 0)
