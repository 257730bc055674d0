"""Selection of scores that are first known with an error only: as exact as of those themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from torch_synflow.selection import threshold
from torch_synflow.selection.quotas import Together
from torch_synflow.selection.stream import ScoreStream
from torch_synflow.selection.survivors import Survivors
from torch_synflow.selection.threshold import indices_of

ERROR = 1e-3


class Inexact(ScoreStream):
    """Positive scores that are off by up to a share of themselves until they are asked for exactly, or one by one."""

    def __init__(self, tensors: list[Tensor], seed: int, *, said: float = ERROR, floor: float = 0.0) -> None:
        super().__init__(tensors)
        generator = torch.Generator().manual_seed(seed)
        self.noisy = [
            t.reshape(-1) * (1 + ERROR * (2 * torch.rand(t.numel(), generator=generator, dtype=t.dtype) - 1))
            for t in tensors
        ]
        self.error, self.floor = said, floor
        self.asked = 0

    def at(self, places: Tensor) -> Tensor:
        assert bool((places[1:] >= places[:-1]).all())  # ascending, as a stream may take for granted
        self.asked += len(places)
        return super().at(places)

    def parts(self, tensors: range) -> Iterator[tuple[Tensor, float]]:
        """In two parts of different units."""
        for number in tensors:
            flat = self.noisy[number] if self.error else self._tensors[number]
            half = len(flat) // 2
            yield flat[:half] / 4, 4.0
            yield flat[half:] * 8, 0.125


def kept_of(reader: ScoreStream, tensors: list[Tensor], keep: int) -> Tensor:
    survivors = Survivors([torch.ones(t.shape, dtype=torch.bool) for t in tensors])
    survivors.keep_highest(reader, Together(keep))
    return torch.cat([mask.reshape(-1) for mask in survivors.masks])


def by_sort(tensors: list[Tensor], keep: int) -> Tensor:
    whole = torch.cat([t.reshape(-1) for t in tensors])
    kept = torch.zeros(len(whole), dtype=torch.bool)
    kept[whole.sort(descending=True, stable=True).indices[:keep]] = True
    return kept


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    levels=st.integers(1, 60),
    spread=st.sampled_from([1e-5, 1e-3, 1.0, 10.0]),
    share=st.floats(0, 1),
    floor=st.sampled_from([0.0, 1.0, 1e9]),
    seed=st.integers(0, 10_000),
)
def test_what_is_kept_is_that_of_the_exact_scores(
    sizes: list[int], levels: int, spread: float, share: float, floor: float, seed: int
) -> None:
    """Ties, zeros, scores nearer to each other than the error, scores below the floor."""
    generator = torch.Generator().manual_seed(seed)
    tensors = [
        torch.exp(spread * torch.randint(levels, (size,), generator=generator).double() / levels)
        * (torch.rand(size, generator=generator) > 0.2)
        for size in sizes
    ]
    keep = round(share * sum(sizes))
    kept = kept_of(Inexact(tensors, seed, floor=floor), tensors, keep)
    assert torch.equal(kept, by_sort(tensors, keep))


@pytest.mark.parametrize("keep", [1, 2_000, 150_000, 290_000, 299_999])
def test_of_many_only_those_near_the_threshold_are_looked_up(keep: int) -> None:
    tensors = [torch.rand(size, dtype=torch.float64).add_(0.1) for size in (200_000, 100_000)]
    reader = Inexact(tensors, 1)
    assert torch.equal(kept_of(reader, tensors, keep), by_sort(tensors, keep))
    if 1_000 < keep < 299_000:
        assert reader.error  # it was never asked for all of them exactly
        sample = 1 << 14
        assert reader.asked < sample + 10 + 300_000 * 6 * ERROR * 1.5 * 1.1 / 0.9


def test_an_error_that_is_greater_than_was_said_is_found_out() -> None:
    """Products in bfloat16, say: what is looked up does not agree, and all is computed exactly."""
    tensors = [torch.rand(2_000, dtype=torch.float64).add_(1)]
    reader = Inexact(tensors, 1, said=ERROR / 50)
    assert torch.equal(kept_of(reader, tensors, 700), by_sort(tensors, 700))
    assert reader.error == 0.0


def test_scores_below_the_floor_are_computed_exactly() -> None:
    tensors = [torch.linspace(1, 2, 50, dtype=torch.float64)]
    above, below = Inexact(tensors, 1, floor=1.2), Inexact(tensors, 1, floor=1.8)
    for reader in (above, below):
        assert torch.equal(kept_of(reader, tensors, 25), by_sort(tensors, 25))
    assert above.error == ERROR
    assert below.error == 0.0


@pytest.mark.parametrize("below", [True, False])
@pytest.mark.parametrize("nearness", [-1, 0, 1, 3])
def test_a_bracket_that_ends_nearer_than_the_error_is_not_trusted(
    below: bool, nearness: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores that are taken for ones outside may belong inside."""
    tensors = [torch.linspace(1, 1 + ERROR / 2, 200, dtype=torch.float64)]
    for seed in range(20):
        reader = Inexact(tensors, seed)
        found = reader.noisy[0].sort().values
        bracket = (float(found[100 - nearness]), math.inf) if below else (-math.inf, float(found[100 + nearness]))
        monkeypatch.setattr(threshold, "_bracket", lambda *arguments, bracket=bracket: bracket)
        assert torch.equal(kept_of(reader, tensors, 99), by_sort(tensors, 99))


def test_the_lowest_where_a_sample_of_them_misleads() -> None:
    """Every other score is zero, and only these are drawn."""
    scores = torch.arange(1 << 13, dtype=torch.float64)
    scores[::2] = 0
    for keep in (1, 2_000, 4_096, 5_000):
        assert torch.equal(kept_of(ScoreStream([scores]), [scores], keep), by_sort([scores], keep))


@given(st.integers(0, 9000), st.integers(0, 9), st.floats(0, 1), st.integers(0, 100))
@settings(deadline=None, max_examples=150, derandomize=True)
def test_marks_are_found_eight_at_a_time(length: int, start: int, share: float, seed: int) -> None:
    marks = torch.rand(start + length, generator=torch.Generator().manual_seed(seed)) < share
    expected = [index for index, marked in enumerate(marks[start:].tolist()) if marked]
    assert indices_of(marks[start:]).tolist() == expected
