"""The cells of operations that only move elements: reshapes, permutations, concatenation, slices, padding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from torch_synflow.compact.cells import ZERO
from torch_synflow.compact.tracer import Operation, Rule, Tracer, narrowed

_SAME = ("contiguous", "clone", "to", "float", "double", "half", "type", "type_as", "detach", "alias", "cuda", "cpu",
         "requires_grad")  # fmt: skip
_AXES = ("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "squeeze", "unsqueeze", "expand", "t",
         "expand_as", "roll", "flip")  # fmt: skip
_RESHAPES = ("view", "reshape", "flatten", "unflatten", "_unsafe_view", "view_as", "reshape_as")
#: the names of attributes that count attention heads
_HEADS = ("num_heads", "n_heads", "heads", "num_attention_heads", "nhead", "n_head")
#: the names of attributes that are the width of all heads
WIDTHS = ("attn_dim", "all_head_size", "inner_dim")


def _whole(tracer: Tracer, tensor: Tensor) -> Tensor:
    return tracer.of(tensor).expand(tensor.shape)


def _varied(cells: Tensor) -> list[int]:
    return [axis for axis, size in enumerate(cells.shape) if size > 1]


def same(tracer: Tracer, call: Operation) -> bool:
    """The elements stay where they are."""
    tracer.put(call.result, tracer.of(call.args[0]))
    return True


def axes_moved(tracer: Tracer, call: Operation) -> bool:
    """The same operation on the cells."""
    if not isinstance(call.result, Tensor):
        return False
    arguments = [other.shape if isinstance(other, Tensor) else other for other in call.args[1:]]
    name = "expand" if call.name == "expand_as" else call.name.rstrip("_")
    moved = getattr(_whole(tracer, call.args[0]), name)(*arguments, **call.kwargs)
    tracer.put(call.result, narrowed(moved))
    return True


def reshape(tracer: Tracer, call: Operation) -> bool:
    """If one axis of channels becomes several, as for heads, only removals that keep the shape whole are possible."""
    source = call.args[0]
    before = tracer.of(source)
    if call.args[1:] and isinstance(call.args[1], torch.dtype):
        return same(tracer, call)
    after = narrowed(_whole(tracer, source).reshape(call.result.shape))
    split = _varied(after)
    if len(split) > 1 and len(split) > len(_varied(before)):
        free = _free_axis(tracer, call, after, split)
        tracer.together(after, [axis for axis in range(after.dim()) if axis != free])
    tracer.put(call.result, after)
    return True


def _free_axis(tracer: Tracer, call: Operation, cells: Tensor, split: list[int]) -> int:
    """The axis that may become shorter: that of heads, one whose size the code leaves open, or the last one."""
    sizes: Any = call.args[1:] or tuple(call.kwargs.values())
    sizes = tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    for name, module in reversed(tracer.modules[-1:]):
        for attribute in _HEADS:
            count = vars(module).get(attribute)
            for axis in (split[-2], *split):  # channels of a head come last
                if isinstance(count, int) and count == cells.shape[axis]:
                    heads = cells.movedim(axis, 0).reshape(count, -1)
                    tracer.heads.append((name, attribute, heads[:, 0]))
                    return axis
    if call.name in ("view", "reshape") and -1 in sizes and sizes.index(-1) in split:
        return int(sizes.index(-1))
    return split[-1]


def concatenation(tracer: Tracer, call: Operation) -> bool:
    """One after the other; along other axes they meet, and are tied."""
    tensors = call.get(0, "tensors")
    axis = call.get(1, "dim", 0) % call.result.dim()
    joined = narrowed(getattr(torch, call.name)([_whole(tracer, tensor) for tensor in tensors], axis))
    others = [other for other in _varied(joined) if other != axis]
    if joined.shape[axis] > 1 and others:
        tracer.cells.tie(joined, joined.narrow(axis, 0, 1))
    tracer.put(call.result, joined)
    return True


def pieces(tracer: Tracer, call: Operation) -> bool:
    """Parts of equal size, which stay equal; parts whose sizes the code gives must stay."""
    source = call.args[0]
    cells = _whole(tracer, source)
    axis = call.get(1 if call.name == "unbind" else 2, "dim", 0) % source.dim()
    if call.name == "split" and tracer.of(source).shape[axis] > 1:
        tracer.sink(tracer.of(source), f"a split by sizes in {tracer.module}")
    parts = [narrowed(part) for part in getattr(cells, call.name)(*call.args[1:], **call.kwargs)]
    if call.name == "chunk" and tracer.of(source).shape[axis] > 1:
        if len({part.shape for part in parts}) > 1:
            return False
        for part in parts[1:]:
            tracer.cells.tie(parts[0], part)
    for part, result in zip(parts, call.result, strict=True):
        tracer.put(result, part)
    return True


def index(tracer: Tracer, call: Operation) -> bool:
    """A slice of channels by numbers must stay; whole axes and numbers on other axes pass on."""
    source, key = call.args
    keys = key if isinstance(key, tuple) else (key,)
    if not isinstance(call.result, Tensor) or any(isinstance(part, (Tensor, list)) for part in keys):
        return False
    cells = tracer.of(source)
    result = narrowed(cells.expand(source.shape)[key])
    lost = [axis for axis in _varied(cells) if axis not in _whole_axes(keys, source.dim())]
    if lost and (len(_varied(cells)) == 1 or any(isinstance(part, slice) for part in _at(keys, lost, source.dim()))):
        if len(lost) == 1 < len(_varied(cells)):
            tracer.together(cells, lost)  # such as halves of each head, which rotary positions turn
        else:
            tracer.sink(cells, f"channels picked by number in {tracer.module}")
    tracer.put(call.result, result)
    return True


def _places(keys: tuple[Any, ...], dims: int) -> list[Any]:
    """The key of each axis."""
    real = [part for part in keys if part is not None]
    if Ellipsis in real:
        at = real.index(Ellipsis)
        real[at : at + 1] = [slice(None)] * (dims - len(real) + 1)
    return [*real, *[slice(None)] * (dims - len(real))]


def _whole_axes(keys: tuple[Any, ...], dims: int) -> set[int]:
    return {axis for axis, part in enumerate(_places(keys, dims)) if part == slice(None)}


def _at(keys: tuple[Any, ...], axes: list[int], dims: int) -> list[Any]:
    return [_places(keys, dims)[axis] for axis in axes]


def padding(tracer: Tracer, call: Operation) -> bool:
    """Zeros around an image do not change its channels; zeros as additional channels are zeros."""
    source, sizes = call.args[0], call.get(1, "pad")
    mode, value = call.get(2, "mode", "constant"), call.get(3, "value", None)
    cells = tracer.of(source)
    padded = {source.dim() - 1 - place // 2 for place, size in enumerate(sizes) if size}
    on_channels = [axis for axis in padded if cells.shape[axis] > 1]
    if on_channels and (mode != "constant" or value):
        return False
    if not on_channels:
        tracer.put(call.result, tracer.pointwise(cells, keeps_zero=mode != "constant" or not value))
        return True
    tracer.put(call.result, narrowed(F.pad(_whole(tracer, source), list(sizes), value=ZERO)))
    return True


def channel_shuffle(tracer: Tracer, call: Operation) -> bool:
    """Channels alternate between groups, which all stay as large as the first."""
    cells, groups = _whole(tracer, call.args[0]), call.get(1, "groups")
    rows = cells.unflatten(1, (groups, -1))
    tracer.cells.tie(rows, rows[:, :1])
    tracer.put(call.result, narrowed(rows.transpose(1, 2).flatten(1, 2)))
    return True


RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME, same),
    **dict.fromkeys(_AXES, axes_moved),
    **dict.fromkeys(_RESHAPES, reshape),
    **dict.fromkeys(("cat", "concat", "stack"), concatenation),
    **dict.fromkeys(("chunk", "split", "unbind"), pieces),
    "__getitem__": index,
    "pad": padding,
    "channel_shuffle": channel_shuffle,
}
