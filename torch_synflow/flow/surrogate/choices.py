"""Operations that choose by values, which flows do not have."""

from __future__ import annotations

from typing import NoReturn

from torch_synflow.flow.surrogate.call import Call


def boxes(call: Call) -> NoReturn:
    """An error, because a detector chooses boxes by their overlap, which positive weights do not give."""
    raise ValueError(
        "model: expected outputs that flow can be followed to, got boxes that 'nms' chooses by their values; say which "
        'submodules\' outputs count: outputs="head" or outputs=["rpn.head", "roi_heads.box_predictor"] for example'
    )
