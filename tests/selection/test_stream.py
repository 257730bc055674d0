"""Streams of scores: what ranks first, and whether a tensor has a score above zero."""

from __future__ import annotations

import math

import pytest
import torch

from torch_synflow.selection.quotas import Together
from torch_synflow.selection.stream import RankedFirst, ScoreStream
from torch_synflow.selection.survivors import Survivors

TENSORS = [torch.tensor([[3.0, 1.0], [2.0, 0.0]]), torch.zeros(3), torch.tensor([5.0, 4.0])]


def test_some_scores_rank_above_all_others() -> None:
    stream = RankedFirst(ScoreStream(TENSORS), torch.tensor([3, 4, 8]))
    assert stream.at(torch.tensor([0, 3, 7, 8])).tolist() == [3.0, math.inf, 5.0, math.inf]
    assert [part.tolist() for part, _ in stream.parts(range(1, 3))] == [[math.inf, 0.0, 0.0], [5.0, math.inf]]
    assert TENSORS[1].tolist() == [0.0, 0.0, 0.0]
    survivors = Survivors([torch.ones_like(tensor, dtype=torch.bool) for tensor in TENSORS])
    survivors.keep_highest(stream, Together(4))
    assert [mask.flatten().tolist() for mask in survivors.masks] == [
        [False, False, False, True], [True, False, False], [True, True],
    ]  # fmt: skip


@pytest.mark.parametrize(("number", "positive"), [(0, True), (1, False), (2, True)])
def test_whether_a_tensor_has_a_score_above_zero(number: int, positive: bool) -> None:
    assert ScoreStream(TENSORS).is_positive(number) is positive
