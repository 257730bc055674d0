"""Which windows over runs of equal rows differ."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from torch_synflow.flow.engine import runs as runs_of_equals


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    runs=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    size=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
    values=st.lists(st.floats(-2, 2), min_size=6, max_size=6),
)
def test_different_windows_give_what_all_windows_give(
    runs: list[int], size: int, stride: int, padding: int, dilation: int, values: list[float]
) -> None:
    length = sum(runs) + 2 * padding
    if dilation * (size - 1) >= length:
        return
    windows = runs_of_equals.windows_along(tuple(runs), size, stride, padding, dilation)
    if windows is None:
        assert dilation > 1  # else they can always be slid over
        return
    small = torch.tensor(values[: len(runs)], dtype=torch.float64)
    whole = F.pad(small.repeat_interleave(torch.tensor(runs)), (padding, padding))
    expected = whole.unfold(0, dilation * (size - 1) + 1, stride)[:, ::dilation]
    taken = F.pad(small, (0, 1))[windows.take] if windows.take is not None else F.pad(small, (padding, padding))
    found = taken.unfold(0, dilation * (size - 1) + 1, stride)[:, ::dilation]
    assert len(found) == len(windows.runs)
    assert torch.equal(found.repeat_interleave(torch.tensor(windows.runs), 0), expected)
