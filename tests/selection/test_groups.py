"""Selection that puts the best of each group first, beside sorting group by group."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.selection.groups import best
from torch_synflow.selection.quotas import InGroups
from torch_synflow.selection.stream import ScoreStream
from torch_synflow.selection.survivors import Survivors


@given(data=st.data(), m=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_best_n_of_m_stay_and_ties_go_to_the_lower_index(data: st.DataObject, m: int, seed: int) -> None:
    n = data.draw(st.integers(1, m))
    torch.manual_seed(seed)
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=3))
    scores = [torch.randint(-2, 3, (rows, groups * m)).float() for rows, groups in shapes]
    alive = [torch.rand(s.shape) < data.draw(st.sampled_from([0.3, 0.7, 1.0])) for s in scores]
    expected = [best(s.flatten().tolist(), a.flatten().tolist(), n, m) for s, a in zip(scores, alive, strict=True)]
    survivors = Survivors(alive)
    stream = ScoreStream([score.masked_fill(~a, 0) for score, a in zip(scores, alive, strict=True)])
    survivors.keep_highest(stream, InGroups(sum(map(sum, expected)), n, m))
    assert [mask.flatten().tolist() for mask in survivors.masks] == expected


@given(data=st.data(), seed=st.integers(0, 99))
def test_on_the_way_the_best_n_of_m_stay_and_then_the_highest(data: st.DataObject, seed: int) -> None:
    torch.manual_seed(seed)
    scores = torch.randint(-2, 3, (4, 8)).float()
    keep = data.draw(st.integers(16, 32))
    survivors = Survivors([torch.ones(4, 8, dtype=torch.bool)])
    survivors.keep_highest(ScoreStream([scores]), InGroups(keep, 2, 4))
    flat = scores.flatten().tolist()
    first = best(flat, [True] * 32, 2, 4)
    order = sorted(range(32), key=lambda place: (not first[place], -flat[place], place))
    assert survivors.masks[0].flatten().nonzero().flatten().tolist() == sorted(order[:keep])


def test_groups_are_those_of_the_whole_weight_once_dead_channels_are_left_out() -> None:
    mask = torch.ones(4, 8, dtype=torch.bool)
    mask[:, [0, 3, 5]] = False
    survivors = Survivors([mask])
    assert survivors.compact([0])
    assert survivors.masks[0].shape == (4, 5)
    block = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]]).expand(4, 5)  # of columns 1, 2, 4, 6, 7
    survivors.keep_highest(ScoreStream([block]), InGroups(8, 1, 4))
    assert survivors.whole(0).nonzero()[:, 1].tolist() == [2, 7] * 4
