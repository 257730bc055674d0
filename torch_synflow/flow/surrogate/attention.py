"""Attention, which torch runs as one operation, in steps that each have a surrogate."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_synflow._torch.signatures import attention_arguments
from torch_synflow.flow.surrogate.call import Call


def scaled_dot_product_attention(call: Call) -> Tensor:
    """The product of queries and keys, the softmax, and the product with the values."""
    query, key, value = (call.get(i, name) for i, name in enumerate(("query", "key", "value")))
    if call.kwargs.get("enable_gqa", False):
        groups = query.shape[-3] // key.shape[-3]
        key, value = (t.repeat_interleave(groups, -3) for t in (key, value))
    mask = call.get(3, "attn_mask")
    if call.get(5, "is_causal", False):
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    return _attend(query, key, value, [mask])[0]


def multi_head_attention(call: Call) -> tuple[Tensor, Tensor | None]:
    """The projections, :func:`scaled_dot_product_attention`, and the output projection."""
    a = attention_arguments(call.args, call.kwargs)
    query, key, value = a["query"], a["key"], a["value"]
    batched = query.dim() == 3
    if not batched:
        query, key, value = (t.unsqueeze(1) for t in (query, key, value))
    length, batch, width = query.shape
    heads = a["num_heads"]
    weights = (
        [a["q_proj_weight"], a["k_proj_weight"], a["v_proj_weight"]]
        if a["use_separate_proj_weight"]
        else a["in_proj_weight"].chunk(3)
    )
    biases = [None] * 3 if a["in_proj_bias"] is None else a["in_proj_bias"].chunk(3)
    query, key, value = (F.linear(t, w, b) for t, w, b in zip((query, key, value), weights, biases, strict=True))
    extra = 0  # add_zero_attn adds a key that no flow reaches
    if a["bias_k"] is not None:
        key = torch.cat([key, a["bias_k"].expand(1, batch, width)])
        value = torch.cat([value, a["bias_v"].expand(1, batch, width)])
        extra += 1
    query, key, value = (
        t.reshape(len(t), batch, heads, width // heads).permute(1, 2, 0, 3) for t in (query, key, value)
    )
    mask, padding = a["attn_mask"], a["key_padding_mask"]
    if mask is not None:
        mask = F.pad(mask, (0, extra))
        mask = ~mask if mask.dtype == torch.bool else mask
        mask = mask.reshape(batch, heads, *mask.shape[1:]) if mask.dim() == 3 else mask
    if padding is not None:
        padding = F.pad(padding, (0, extra))[:, None, None]
        padding = ~padding if padding.dtype == torch.bool else padding
    attended, rows = _attend(query, key, value, [mask, padding])
    output = attended.permute(2, 0, 1, 3).reshape(length, batch, width)
    output = F.linear(output, a["out_proj_weight"], a["out_proj_bias"])
    rows = rows.mean(1) if a["average_attn_weights"] else rows
    if not batched:
        output, rows = output.squeeze(1), rows.squeeze(0)
    return output, rows.detach() if a["need_weights"] else None


def _attend(query: Tensor, key: Tensor, value: Tensor, masks: list[Any]) -> tuple[Tensor, Tensor]:
    """Attention and its rows; a boolean mask is true where a key takes part."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    for mask in masks:
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    rows = scores.softmax(-1)
    return rows @ value, rows
