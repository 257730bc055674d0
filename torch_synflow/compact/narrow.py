"""``nn.MultiheadAttention`` with fewer heads, and fewer channels in each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import wrap_torch_function

from torch_synflow._torch.attention import call_in_encoder_layers
from torch_synflow.compact.choice import Choice
from torch_synflow.compact.tracer import Tracer


class NarrowAttention(nn.MultiheadAttention):
    """Attention between inputs and outputs that are wider than its heads together.

    Parameters have the names that they have in ``nn.MultiheadAttention``, and fewer rows or columns. Values beyond
    those of the heads are a bias alone: attention weights sum to one, so that each comes out as it is.

    Attributes:
        head_dim: of the wider module, which attention is scaled by.
        query_channels: of each head, those of keys too.
        value_channels: of each head.
        heads_left: which of the wider module's heads these are, and how many it has.
    """

    query_channels: int
    value_channels: int
    heads_left: tuple[list[int], int]

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As ``nn.MultiheadAttention.forward``; attention weights are those of the heads that are left."""
        batched = query.dim() == 3
        tensors = [query, key, value]
        if not batched:
            tensors = [tensor.unsqueeze(0) for tensor in tensors]
        elif not self.batch_first:
            tensors = [tensor.transpose(0, 1) for tensor in tensors]
        biases, constant = self._biases()
        q, k, v = (
            F.linear(tensor, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for tensor, weight, bias in zip(tensors, self._weights(), biases, strict=True)
        )
        mask = None if is_causal and key_padding_mask is None and not need_weights else self._mask(attn_mask, q, k)
        if key_padding_mask is not None:
            padding = _added(key_padding_mask, q.dtype).view(-1, 1, 1, k.shape[-2])
            mask = padding if mask is None else mask + padding
        scale, dropout = self.head_dim**-0.5, self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            logits = (q * scale) @ k.transpose(-2, -1)
            weights = F.dropout((logits if mask is None else logits + mask).softmax(-1), dropout)
            mixed = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            mixed = F.scaled_dot_product_attention(
                q, k, v, mask, dropout, is_causal=is_causal and mask is None, scale=scale
            )
        output = self._out(mixed.transpose(1, 2).flatten(2), constant)
        if not batched:
            return output.squeeze(0), None if weights is None else weights.squeeze(0)
        return output if self.batch_first else output.transpose(0, 1), weights

    def arguments(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The arguments of a call, and those that the module adds for ``multi_head_attention_forward``."""
        given = inspect.signature(NarrowAttention.forward).bind(self, *args, **kwargs)
        given.apply_defaults()
        own = ("num_heads", "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias")
        return {
            **given.arguments, **{name: getattr(self, name) for name in own}, "dropout_p": self.dropout,
            "use_separate_proj_weight": self.in_proj_weight is None, "out_proj_weight": self.out_proj.weight,
            "out_proj_bias": self.out_proj.bias,
        }  # fmt: skip

    def sizes(self) -> list[int]:
        """The numbers of queries, keys and values of all heads together."""
        queries = self.num_heads * self.query_channels
        return [queries, queries, self.num_heads * self.value_channels]

    def _weights(self) -> tuple[Tensor, ...]:
        if self.in_proj_weight is None:
            return self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        found: tuple[Tensor, ...] = self.in_proj_weight.split(self.sizes())
        return found

    def _biases(self) -> tuple[tuple[Tensor | None, ...], Tensor | None]:
        """Those of queries, keys and values, and the values that are a bias alone."""
        if self.in_proj_bias is None:
            return (None, None, None), None
        sizes = self.sizes()
        *biases, constant = self.in_proj_bias.split([*sizes, len(self.in_proj_bias) - sum(sizes)])
        return tuple(biases), constant

    def _out(self, mixed: Tensor, constant: Tensor | None) -> Tensor:
        weight, bias = self.out_proj.weight, self.out_proj.bias
        if constant is None or not len(constant):
            return F.linear(mixed, weight, bias)
        live, rest = weight.split([mixed.shape[-1], len(constant)], 1)
        passed = rest @ constant
        return F.linear(mixed, live, passed if bias is None else bias + passed)

    def _mask(self, mask: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
        if mask is None:
            return None
        mask = _added(mask, q.dtype)
        if mask.dim() == 3:  # one per head of the wider module
            left, count = self.heads_left
            mask = mask.view(-1, count, q.shape[-2], k.shape[-2])[:, left]
        return mask


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask as numbers that are added: no key is taken where a boolean one is true."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, float("-inf"))


def as_one_operation(model: nn.Module) -> None:
    """Have modes see a call of a narrow attention of a copy as one operation, as they see that of torch's own."""
    for module in model.modules():
        if isinstance(module, NarrowAttention):
            vars(module)["forward"] = _one_operation(module.forward)


def _one_operation(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wrap_torch_function(lambda *args, **kwargs: (*args, *kwargs.values()))
    def narrow_attention(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    return narrow_attention


def narrow(model: nn.Module, tracer: Tracer, choice: Choice) -> None:
    """Have each ``nn.MultiheadAttention`` that lost channels compute with those that are left."""
    for heads in {heads.name: heads for heads in tracer.attentions}.values():
        query, rows = ~choice.removed[heads.query], ~choice.removed[heads.rows]
        if bool(query.all()) and bool(rows.all()):
            continue
        module = model.get_submodule(heads.name)
        assert isinstance(module, nn.MultiheadAttention)
        left = rows.any(1).nonzero()[:, 0].tolist()
        before = module.heads_left if isinstance(module, NarrowAttention) else (list(range(len(rows))), len(rows))
        module.__class__ = NarrowAttention
        vars(module).update(
            num_heads=len(left), heads_left=([before[0][head] for head in left], before[1]),
            query_channels=int(query[left[0]].sum()), value_channels=int(rows[left[0]].sum()),
        )  # fmt: skip
        call_in_encoder_layers(module)
        for around in model.modules():
            if isinstance(around, nn.TransformerEncoder) and module in around.modules():
                around.use_nested_tensor = False  # which torch's own attention alone takes
