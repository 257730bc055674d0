"""Attention counts upstream flow once, and queries and keys carry the block's."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.flow.flows import Of, X, totals, without_biases
from tests.flow.networks import Attention
from torch_synflow import prune


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
    names = {module: name for name, module in model.named_modules()}
    scores = prune.synflow_scores(model, tokens)
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
    fused = [found.pop(f"0.1.layers.{index}.self_attn") for index in range(2)]
    assert max(fused) <= 3 * found["1"] * (1 + 1e-9)  # queries, keys and values in one
    assert max(found.values()) == pytest.approx(found["1"], rel=1e-9)
    whole = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    for score in prune.synflow_scores(whole, (torch.ones(1, 5, 8), torch.ones(1, 3, 8))).values():
        assert (score > 0).all()


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


class FusedWithMore(nn.Module):
    """Queries, keys and values of one projection, with more between it and where they part."""

    def __init__(self, between: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.between = between
        self.first, self.project, self.last = nn.Linear(6, 8), nn.Linear(8, 24), nn.Linear(8, 3)
        self.again, self.norm, self.layer_norm = nn.Linear(24, 24), nn.BatchNorm1d(24), nn.LayerNorm(24)

    def forward(self, x: Tensor) -> Tensor:
        fused = self.project(torch.relu(self.first(x)))
        if self.between == "batch norm":
            fused = self.norm(fused.transpose(1, 2)).transpose(1, 2)
        elif self.between == "layer norm":
            fused = self.layer_norm(fused)
        elif self.between == "activation":
            fused = torch.nn.functional.gelu(fused)
        elif self.between == "in place":
            fused *= 2
            torch.nn.functional.relu(fused, inplace=True)
        heads = [fused]
        if self.between == "joined":
            heads.append(self.again(fused))
        joined = torch.cat(heads, 0) if len(heads) > 1 else fused
        query, key, value = joined.chunk(3, -1)
        rows = (query @ key.transpose(-2, -1)).softmax(-1)
        return self.last((rows @ value).mean(0))  # type: ignore[no-any-return]


@pytest.mark.parametrize("between", ["nothing", "batch norm", "layer norm", "activation", "in place", "joined"])
def test_queries_and_keys_of_a_fused_projection_are_scored_through_what_lies_between(between: str) -> None:
    model = without_biases(FusedWithMore(between))
    params = prune.prunable_parameters(model, exclude=() if between == "joined" else "again")
    scores = prune.synflow_scores(model, torch.ones(1, 5, 6), params)
    whole = float(scores[model.last, "weight"].sum())
    parts = [float(part.sum()) for part in scores[model.project, "weight"].chunk(3)]
    assert all(part > 0 for part in parts)
    if between == "joined":
        assert all(float(part.sum()) > 0 for part in scores[model.again, "weight"].chunk(3))
    else:
        assert parts == pytest.approx([whole] * 3, rel=1e-9)


class Aggregates(nn.Module):
    """Linear attention whose queries, keys and values pass convolutions by groups between projection and split."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.qkv, self.each = nn.Conv2d(3, 12, 1, bias=False), nn.Conv2d(12, 12, 3, 1, 1, groups=12, bias=False)
        self.some, self.out = nn.Conv2d(12, 12, 1, groups=3, bias=False), nn.Conv2d(4, 5, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.some(self.each(self.qkv(x))).flatten(2).chunk(3, 1)
        attended = (torch.relu(q).transpose(1, 2) @ torch.relu(k)) @ v.transpose(1, 2)
        return self.out(attended.transpose(1, 2).reshape(len(x), 4, *x.shape[2:]))  # type: ignore[no-any-return]


def test_convolutions_by_groups_before_the_split_are_scored_for_queries_and_keys_too() -> None:
    """Queries and keys without scores are pruned first, and shut what they gate."""
    model, x = Aggregates(), torch.ones(1, 3, 4, 4)
    scores = prune.SynFlow.scores(model, example_inputs=x)
    for layer in (model.qkv, model.each, model.some):
        for part in scores[layer, "weight"].as_subclass(Tensor).chunk(3):
            assert bool((part > 0).all())
    report = prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=x, iterations=20)
    assert report.empty_layers == ()
