"""Operations that choose by values, which flows do not have."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor

from torch_synflow.flow.surrogate.call import Call


def boxes(call: Call) -> NoReturn:
    """An error, because a detector chooses boxes by their overlap, which positive weights do not give."""
    raise ValueError(
        "model: expected outputs that flow can be followed to, got boxes that 'nms' chooses by their values; say which "
        'submodules\' outputs count: outputs="head" or outputs=["rpn.head", "roi_heads.box_predictor"] for example'
    )


def topk(call: Call) -> Any:
    """Elements in turn: each row of a router chooses others than the row before, whatever the flows.

    The greatest flows change as weights go, and experts without flow, pruned first, would be chosen later.
    """
    x = call.get(0, "input")
    indices = _in_turn(x, call.get(1, "k"), call.get(2, "dim", -1))
    return torch.return_types.topk((x.gather(call.get(2, "dim", -1), indices), indices))


def argmax(call: Call) -> Tensor:
    """The index of one element in turn, as for :func:`topk`."""
    x, dim = call.get(0, "input"), call.get(1, "dim")
    if dim is None:
        return _in_turn(x.reshape(-1), 1, 0).reshape(())
    indices = _in_turn(x, 1, dim)
    return indices if call.get(2, "keepdim", False) else indices.squeeze(dim)


def _in_turn(x: Tensor, count: int, dim: int) -> Tensor:
    """``count`` indices along ``dim`` for each row, which go on where those of the row before end."""
    size = x.shape[dim] if x.dim() else 1
    shape = [*x.movedim(dim, -1).shape[:-1], count] if x.dim() else [count]
    turns = torch.arange(torch.Size(shape).numel(), device=x.device).reshape(shape) % size
    return turns.movedim(-1, dim) if x.dim() else turns.reshape(())
