"""Which entries of a vector are kept, with numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from torch_synflow.selection import threshold
from torch_synflow.selection.stream import ScoreStream
from torch_synflow.selection.survivors import Survivors, keep_highest


@pytest.mark.parametrize(
    ("scores", "keep", "expected"),
    [
        ([3.0, 1.0, 2.0], 1, [0]),
        ([3.0, 1.0, 2.0], 2, [0, 2]),
        ([1.0, 1.0, 1.0, 1.0], 2, [0, 1]),
        ([0.0, 2.0, 2.0, -3.0, 2.0], 2, [1, 2]),
        ([0.0, 2.0, 2.0, -3.0, 2.0], 4, [0, 1, 2, 4]),
        ([-5.0, -1.0, -3.0], 1, [1]),  # signed: no absolute value is taken
        ([-5.0, -1.0, -3.0], 2, [1, 2]),
        ([0.0, -0.0, 0.0], 2, [0, 1]),  # the two zeros tie
        ([-0.0, 0.0, 0.0], 1, [0]),
        ([0.0, 0.0, 0.0, 5.0], 3, [0, 1, 3]),
        ([7.0], 1, [0]),
        ([7.0], 0, []),
        ([1.0, 2.0], 2, [0, 1]),
        ([1.0, 2.0], 0, []),
        ([], 0, []),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_keep_highest(scores: list[float], keep: int, expected: list[int], dtype: torch.dtype) -> None:
    kept = keep_highest(torch.tensor(scores, dtype=dtype), keep)
    assert kept.dtype == torch.bool
    assert kept.shape == (len(scores),)
    assert kept.nonzero().flatten().tolist() == expected


def test_keep_highest_reads_a_strided_vector_and_leaves_it_alone() -> None:
    table = torch.tensor([[1.0, 9.0], [4.0, 9.0], [2.0, 9.0]])
    assert keep_highest(table[:, 0], 2).tolist() == [False, True, True]
    assert table.tolist() == [[1.0, 9.0], [4.0, 9.0], [2.0, 9.0]]


def test_keep_highest_tells_apart_what_float32_can_not() -> None:
    scores = torch.tensor([1.0, 1.0 + 1e-12], dtype=torch.float64)
    assert keep_highest(scores, 1).tolist() == [False, True]
    assert keep_highest(scores.float(), 1).tolist() == [True, False]


def test_keep_highest_is_exact_on_a_long_vector_of_ties() -> None:
    scores = torch.zeros(100_001)
    scores[70_000:] = 1
    kept = keep_highest(scores, 50_000)
    assert int(kept.sum()) == 50_000
    assert bool(kept[70_000:].all())
    assert kept[:70_000].nonzero().flatten().tolist() == list(range(50_000 - 30_001))


MANY = 300_000  # more than four samples of 65,536: the threshold is bracketed first
POSITIONS = torch.arange(MANY, dtype=torch.float64)


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param(torch.randn(MANY, generator=torch.Generator().manual_seed(0)), id="normal"),
        pytest.param(torch.randn(MANY, generator=torch.Generator().manual_seed(0)).round(), id="ties"),
        pytest.param(POSITIONS, id="rising"),
        pytest.param(-POSITIONS, id="falling"),
        pytest.param(torch.zeros(MANY), id="all the same"),
        pytest.param((POSITIONS % 4 != 0) * (1 + POSITIONS), id="the sample sees nothing but zeros"),
        pytest.param(torch.where(POSITIONS % 4 == 0, 1e300, POSITIONS), id="the sample sees nothing but the highest"),
    ],
)
@pytest.mark.parametrize("keep", [1, 100, 3_000, MANY // 2, MANY - 3_000, MANY - 1])
def test_keep_highest_of_many_is_that_of_a_stable_sort(scores: Tensor, keep: int) -> None:
    expected = torch.zeros(MANY, dtype=torch.bool)
    expected[scores.sort(descending=True, stable=True).indices[:keep]] = True
    assert torch.equal(keep_highest(scores, keep), expected)


def test_survivors_follow_what_is_kept() -> None:
    masks = [torch.ones(2, 3, dtype=torch.bool), torch.tensor([True, False, True, True])]
    survivors = Survivors(masks)
    values = [torch.arange(6.0).view(2, 3), torch.arange(10.0, 14.0)]
    assert survivors.counts == [6, 3]
    assert survivors.of(values).tolist() == [0, 1, 2, 3, 4, 5, 10, 12, 13]
    survivors.keep_marked(torch.tensor([1, 0, 1, 1, 1, 0, 1, 0, 1], dtype=torch.bool))
    assert survivors.of(values).tolist() == [0, 2, 3, 4, 10, 13]
    survivors.keep_marked(torch.tensor([0, 0, 0, 0, 1, 1], dtype=torch.bool))
    assert survivors.counts == [0, 2]
    assert [mask.tolist() for mask in survivors.masks] == [[[False] * 3] * 2, [True, False, False, True]]
    assert masks[0].all()  # what was given stays as it was


@pytest.mark.parametrize("misled", [1, 2])
def test_a_sample_that_misleads_costs_another_attempt(misled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    expected = scores >= scores.topk(50_000).values.min()
    attempts: list[float] = []
    bracket = threshold._bracket

    def often_wrong(*arguments: Any) -> tuple[float, float]:
        attempts.append(arguments[-1])
        return (0.1, 0.2) if len(attempts) <= misled else bracket(*arguments)

    monkeypatch.setattr(threshold, "_bracket", often_wrong)
    assert torch.equal(keep_highest(scores, 50_000), expected)
    assert attempts == sorted(set(attempts))
    assert len(attempts) == 2


def test_elements_are_found_again_after_their_tensors_are_compacted() -> None:
    masks = [torch.zeros(6, 5, 2, 2, dtype=torch.bool), torch.ones(3, dtype=torch.bool), torch.zeros(8, 8).bool()]
    masks[0][1:4:2, 2:4] = True
    masks[2][5, :3] = True
    survivors = Survivors(masks)
    less = survivors.copy()
    less.keep_marked(torch.arange(less.total) % 3 == 0)
    gone = survivors.without(less)
    assert len(gone) == survivors.total - less.total
    assert survivors.total == sum(int(mask.sum()) for mask in masks)  # the copy was pruned on its own
    before = survivors.places(gone)
    survivors.compact(range(3))
    after = survivors.places(gone)
    assert not torch.equal(before, after)
    whole = torch.cat([mask.flatten() for mask in survivors.masks])
    assert whole[after].all()
    assert survivors.without(_with(survivors, after)) == gone
    assert torch.equal(Survivors(masks).places(gone), before)


def _with(survivors: Survivors, gone: torch.Tensor) -> Survivors:
    less = survivors.copy()
    flat = torch.ones(sum(mask.numel() for mask in less.masks), dtype=torch.bool)
    flat[gone] = False
    alive = torch.cat([mask.flatten() for mask in less.masks])
    less.keep_marked(flat[alive])
    return less


def test_the_highest_of_a_tensor_is_an_element() -> None:
    survivors = Survivors([torch.ones(2, 3, dtype=torch.bool), torch.ones(4, dtype=torch.bool)])
    scores = ScoreStream([torch.tensor([[1.0, 5, 2], [0, 3, 4]]), torch.tensor([1.0, 2, 9, 3])])
    assert survivors.highest(scores, 0) == (0, 0, 1, 0)
    assert survivors.highest(scores, 1) == (1, 2, 0, 0)
