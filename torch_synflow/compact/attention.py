"""The cells of attention: whole heads, and channels of the heads of ``nn.MultiheadAttention``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow._torch.signatures import attention_arguments
from torch_synflow.compact.cells import INPUT
from torch_synflow.compact.held import Heads, Held
from torch_synflow.compact.layers import shift, weighted
from torch_synflow.compact.narrow import NarrowAttention
from torch_synflow.compact.nodes import Derivation, Flags, Weighted
from torch_synflow.compact.tracer import Operation, Rule, Tracer


@dataclass
class Attention(Derivation):
    """Scaled dot-product attention; all cells are ``(heads, channels)``."""

    query: Tensor
    key: Tensor
    value: Tensor
    target: Tensor

    def forward(self, flags: Flags) -> None:
        """Sums of the values, zero where these are."""
        moving = flags.moving[self.value] | flags.moving[self.query].any(1, True) | flags.moving[self.key].any(1, True)
        flags.make(self.target, flags.zero[self.value], moving)

    def backward(self, flags: Flags) -> None:
        """A head that is read reads all of its queries and keys."""
        live = ~flags.zero[self.value]
        used, graded = flags.used[self.target], flags.graded[self.target]
        flags.read(self.value, used, graded)
        heads = [(flag & live).any(1, True).expand_as(self.query) for flag in (used, graded)]
        flags.read(self.query, *heads)
        flags.read(self.key, *heads)


@dataclass
class ProjectedAttention(Derivation):
    """Attention with its projections; all cells are ``(heads, channels)``.

    A key that is the same for all tokens, such as its bias, changes no attention weight. A value that is the same for
    all tokens comes out unchanged if attention weights sum to one, for all queries and keys.

    Attributes:
        query: queries with their bias.
        key: keys without their bias.
        rows: values without their bias.
        value: values with their bias.
        sums_to_one: whether attention weights sum to one, in training too.
    """

    query: Tensor
    key: Tensor
    rows: Tensor
    value: Tensor
    target: Tensor
    sums_to_one: bool

    @property
    def _mixed(self) -> Tensor:
        return self.rows if self.sums_to_one else self.value

    def forward(self, flags: Flags) -> None:
        """Sums of the values, zero where these are."""
        pairs = ((self.query, self.key), (self.key, self.query))
        weights = torch.stack([flags.moving[one] & ~flags.zero[other] for one, other in pairs]).any(0).any(1, True)
        moving = flags.moving[self.rows] | (~flags.zero[self._mixed] & weights)
        flags.make(self.target, flags.zero[self.value], moving)

    def backward(self, flags: Flags) -> None:
        """Queries and keys are read in pairs, by a head that mixes some value."""
        used, graded = flags.used[self.target], flags.graded[self.target]
        flags.read(self.value, used, graded)
        mixed = ~flags.zero[self._mixed]
        heads = [(flag & mixed).any(1, True) for flag in (used, graded)]
        for one, other in ((self.query, self.key), (self.key, self.query)):
            flags.read(one, *(head & ~flags.zero[other] for head in heads))


def scaled_dot_product(tracer: Tracer, call: Operation) -> bool:
    """Query, key and value of ``(batch, heads, tokens, channels)``; whole heads can be removed."""
    tensors = [call.get(place, name) for place, name in enumerate(("query", "key", "value"))]
    count = tensors[0].shape[1] if tensors[0].dim() == 4 else 0
    if not count or any(tensor.dim() != 4 or count % tensor.shape[1] for tensor in tensors):
        return False
    found = [tracer.uniform(tracer.of(tensor), (0, 2)) for tensor in tensors]
    query, key, value = (
        None if cells is None else _by_head(cells, tensor, count) for cells, tensor in zip(found, tensors, strict=True)
    )
    if query is None or key is None or value is None:
        return False
    target = tracer.cells.new(value.numel()).view(value.shape)
    tracer.add(Attention(query, key, value, target))
    for cells in (query, key, value, target):
        tracer.cells.tie(cells, target[:, :1])
    mask = call.get(3, "attn_mask")
    _read_masks(tracer, mask)
    if mask is not None and mask.dim() > 2 and mask.shape[-3] > 1:
        tracer.cells.pin(target, f"a mask of each head in {tracer.module}")
    tracer.put(call.result, target[None, :, None])
    return True


def _read_masks(tracer: Tracer, *masks: Any) -> None:
    """Keep what masks are made of, such as trained biases of pairs of positions."""
    for mask in masks:
        if isinstance(mask, Tensor):
            tracer.sink(tracer.of(mask), f"a mask of attention in {tracer.module}")


def _by_head(cells: Tensor, tensor: Tensor, count: int) -> Tensor:
    """The cells by head, where several queries may share a key and a value."""
    cells = cells.expand(1, tensor.shape[1], 1, tensor.shape[3])[0, :, 0]
    return cells.repeat_interleave(count // len(cells), 0)


def multi_head(tracer: Tracer, call: Operation) -> bool:
    """The call of ``nn.MultiheadAttention``: heads can be removed, and equally many channels of the other heads."""
    name, module = tracer.modules[-1] if tracer.modules else ("", None)
    given = attention_arguments(call.args, call.kwargs)
    if type(module) is not nn.MultiheadAttention or given["bias_k"] is not None or given["add_zero_attn"]:
        plain = type(module) is nn.MultiheadAttention
        tracer.whole[name] = "it attends to a key of its own" if plain else f"{type(module).__name__} may do more"
        return False
    if given["key_padding_mask"] is not None and any(
        isinstance(around, nn.TransformerEncoder) and around.use_nested_tensor for _, around in tracer.modules
    ):
        tracer.whole[name] = "nn.TransformerEncoder makes nested tensors of padded batches, which torch's own takes"
        return False
    return _with_projections(tracer, call, given, [module.embed_dim] * 3)


def narrow_attention(tracer: Tracer, call: Operation) -> bool:
    """The same in a module that is narrow already, where values without weights lie behind the others."""
    module = tracer.modules[-1][1]
    assert isinstance(module, NarrowAttention)
    return _with_projections(tracer, call, module.arguments(*call.args, **call.kwargs), module.sizes())


def _with_projections(tracer: Tracer, call: Operation, given: dict[str, Any], sizes: list[int]) -> bool:
    """Attention with these numbers of queries, keys and values; further columns of the output read a bias alone."""
    apart = [given[f"{part}_proj_weight"] for part in ("q", "k", "v")]
    weights = _held(tracer, apart if given["use_separate_proj_weight"] else [given["in_proj_weight"]])
    inputs = [_columns(tracer, given[part]) for part in ("query", "key", "value")]
    biases = [] if given["in_proj_bias"] is None else _held(tracer, [given["in_proj_bias"]])
    out = _held(tracer, [given["out_proj_weight"]])
    if weights is None or biases is None or out is None:
        tracer.whole[tracer.module] = "its weights are computed"
        return False
    _read_masks(tracer, given["attn_mask"], given["key_padding_mask"])
    query, key, rows = _projected(tracer, weights, inputs, sizes)
    alone = tracer.cells.new(out[0].tensor.shape[1] - sizes[2])
    tracer.cells.always_zero(alone)
    value, passed, sums = rows, alone, _sums_to_one(tracer, given)
    unshifted = torch.cat([query, key, rows, alone])
    if biases:
        first = _shifted(tracer, query, biases[0], 0)
        value, passed = (
            _shifted(tracer, cells, biases[0], begin) for cells, begin in ((rows, 2 * sizes[0]), (alone, sum(sizes)))
        )
        tracer.cells.tie(query, first)
        tracer.index_of(biases[0].tensor, 0, torch.cat([first, key, value, passed]))
        query = first
    target = tracer.cells.new(len(value))
    for one, other in ((query, key), (value, target), *([] if sums else [(rows, value)])):
        tracer.cells.tie(one, other)
    query, key, rows, value, by_head = (
        cells.view(given["num_heads"], -1) for cells in (query, key, rows, value, target)
    )
    tracer.add(ProjectedAttention(query, key, rows, value, by_head, sums))
    columns = torch.cat([target, passed])
    outputs = weighted(tracer, columns, out[0], out[0].kept[None], given["out_proj_bias"])
    for axis, cells in enumerate((outputs, columns)):
        tracer.index_of(out[0].tensor, axis, cells)
    for held, axis, cells in (*((bias, 0, unshifted) for bias in biases), (out[0], 1, unshifted[-len(columns) :])):
        held.behind[axis] = cells
    result, attention_weights = call.result
    tracer.put(result, outputs)
    heads = Heads(tracer.module, query, rows, value)
    if attention_weights is not None:
        heads.weights = tracer.cells.new(1)
        tracer.cells.follow_input(heads.weights)
        tracer.put(attention_weights, heads.weights)
    tracer.attentions.append(heads)
    return True


def _held(tracer: Tracer, tensors: list[Any]) -> list[Held] | None:
    found = [tracer.held[id(tensor)] for tensor in tensors if id(tensor) in tracer.held]
    return found if len(found) == len(tensors) else None


def _columns(tracer: Tracer, tensor: Tensor) -> Tensor:
    cells = tracer.of(tensor)
    cells = cells.expand(*cells.shape[:-1], tensor.shape[-1])
    merged = tracer.uniform(cells, tuple(range(cells.dim() - 1)))
    return (cells if merged is None else merged).reshape(-1)


def _sums_to_one(tracer: Tracer, given: dict[str, Any]) -> bool:
    """Whether attention weights sum to one: without dropout, and if no mask can leave a query without a key."""
    mask = given["attn_mask"]
    if given["dropout_p"] or given["key_padding_mask"] is not None:
        return False
    if mask is None:
        return True
    allowed = ~mask if mask.dtype == torch.bool else mask > -torch.inf
    return bool((tracer.of(mask) != INPUT).all()) and bool(allowed.any(-1).all())


def _projected(tracer: Tracer, weights: list[Held], inputs: list[Tensor], sizes: list[int]) -> list[Tensor]:
    """The cells of queries, keys and values before their biases."""
    rows = tracer.cells.new(sum(sizes))
    parts = list(rows.split(sizes))
    one = weights[0]
    if len(weights) == 1 and all(torch.equal(inputs[0], source) for source in inputs):
        tracer.add(Weighted(inputs[0], rows, one.kept[None], one.name))
    else:
        kept = one.kept.split(sizes) if len(weights) == 1 else [held.kept for held in weights]
        for place, (source, part) in enumerate(zip(inputs, parts, strict=True)):
            tracer.add(Weighted(source, part, kept[place][None], weights[place % len(weights)].name))
    for place, source in enumerate(inputs):
        tracer.index_of(weights[place % len(weights)].tensor, 1, source)
    for held, cells in zip(weights, [rows] if len(weights) == 1 else parts, strict=True):
        tracer.index_of(held.tensor, 0, cells)
    return parts


def _shifted(tracer: Tracer, cells: Tensor, bias: Held, begin: int) -> Tensor:
    """The cells behind the part of a bias that begins there."""
    target = tracer.cells.new(len(cells))
    shift(tracer, cells, target, bias, slice(begin, begin + len(cells)))
    return target


RULES: dict[str, Rule] = {
    "scaled_dot_product_attention": scaled_dot_product,
    "multi_head_attention_forward": multi_head,
    "narrow_attention": narrow_attention,
}
