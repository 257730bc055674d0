"""Operations that choose among what they are given by its values, which no flow has."""

from __future__ import annotations

from typing import NoReturn

from torch_synflow.flow.surrogate.call import Call


def boxes(call: Call) -> NoReturn:
    """Refuse: which boxes a detector keeps depends on what they overlap, which positive weights do not tell."""
    raise ValueError(
        "model: expected outputs that flow can be followed to, got boxes that 'nms' chooses by their values; say which "
        'submodules\' outputs count: outputs="head" or outputs=["rpn.head", "roi_heads.box_predictor"] for example'
    )
