"""The highest of many integers, and pruning that never makes the host wait for a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests.cases import METHODS, MODELS, MethodCase, ModelCase, prune_case
from tests.masks import masks_of
from torch_synflow import prune
from torch_synflow.selection import histogram
from torch_synflow.selection.quotas import Together
from torch_synflow.selection.stream import ScoreStream
from torch_synflow.selection.survivors import Survivors

few = settings(deadline=None, max_examples=150, derandomize=True)
INTEGERS = st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-3, 3), st.sampled_from([1 << 16, 1 << 48]))


@pytest.fixture
def asking_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the processor as a device on which asking for a number means to wait."""
    monkeypatch.setattr(histogram, "_ASYNCHRONOUS", frozenset(("cpu",)))


@given(st.lists(INTEGERS, max_size=40), st.data())
@example([0, 0, -1, 0], None)
@example([-(1 << 63)] * 3 + [(1 << 63) - 1], None)
@few
def test_the_highest_are_those_of_a_stable_sort(keys: list[int], data: Any) -> None:
    count = 2 if data is None else data.draw(st.integers(0, len(keys)))
    best = sorted(range(len(keys)), key=lambda i: (-keys[i], i))[:count]
    marks = histogram.highest_of(torch.tensor(keys, dtype=torch.int64), count)
    assert marks.nonzero().flatten().tolist() == sorted(best)


def test_chunks_and_lanes_do_not_change_what_is_highest(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = torch.randint(-50, 50, (1000,), generator=torch.Generator().manual_seed(0)) << 40
    whole = [histogram.highest_of(keys, count) for count in (1, 499, 500, 1000)]
    monkeypatch.setattr(histogram, "_CHUNK", 7)
    monkeypatch.setattr(histogram, "_OF_LANE", 300)
    for count, marks in zip((1, 499, 500, 1000), whole, strict=True):
        assert int(marks.sum()) == count
        assert torch.equal(histogram.highest_of(keys, count), marks)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
@example([0.0, -0.0])
@example([-5e-324, 5e-324])
@few
def test_keys_are_in_the_order_of_scores(pair: list[float]) -> None:
    first, second = histogram.keys_of(torch.tensor(pair, dtype=torch.float64)).tolist()
    assert (first < second) == (pair[0] < pair[1])
    assert (first == second) == (pair[0] == pair[1])
    assert min(first, second) > histogram.LEAST


def _pruned_by(method: MethodCase, case: ModelCase) -> tuple[list[Tensor], Any]:
    model = case.build()
    torch.manual_seed(0)  # of dropout
    report = prune_case(method, case, model, 0.6)
    return masks_of(model), report


@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
@pytest.mark.parametrize("method", [m for m in METHODS if m.scored], ids=lambda method: method.name)
def test_masks_are_those_that_the_host_finds(
    method: MethodCase, case: ModelCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks, report = _pruned_by(method, case)
    monkeypatch.setattr(histogram, "_ASYNCHRONOUS", frozenset(("cpu",)))
    others, again = _pruned_by(method, case)
    assert again == report
    assert all(torch.equal(mask, other) for mask, other in zip(masks, others, strict=True))


@pytest.mark.usefixtures("asking_waits")
def test_layers_have_densities_of_their_own() -> None:
    model = _wide()
    report = prune.global_iterative_unstructured(
        model, prune.SynFlow, 0.5, example_inputs=torch.ones(1, 3, 8, 8), layer_densities=prune.erk, iterations=5
    )
    assert report.kept == report.total - round(0.5 * report.total)
    assert [layer.kept for layer in report.layers] == [int(mask.sum()) for mask in masks_of(model)]


@pytest.mark.usefixtures("asking_waits")
def test_layers_are_kept() -> None:
    class Kept(prune.SynFlow):
        keep_layers = True

    model = nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(30, 30, bias=False), nn.ReLU())])
    report = prune.global_iterative_unstructured(
        model, Kept, 1 - 6 / 5400, example_inputs=torch.ones(1, 30), iterations=10
    )
    assert report.kept == 6
    assert not report.empty_layers


class Asking(TorchFunctionMode):
    """Counts what makes the host wait for a device: numbers, and shapes that depend on values."""

    names = frozenset(
        ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "is_nonzero", "equal",
         "allclose", "nonzero", "argwhere", "masked_select", "unique", "bincount", "repeat_interleave")
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        indices = (
            (args[1] if isinstance(args[1], tuple) else args[1:2]) if name in ("__getitem__", "__setitem__") else ()
        )
        by_value = any(isinstance(i, Tensor) and (i.dtype == torch.bool or not i.dim()) for i in indices)
        to_host = name == "tensor" or (name == "where" and len(args) == 1)
        self.count += by_value or to_host or name in self.names
        return func(*args, **(kwargs or {}))


def _wide(*, others: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    middle = nn.Conv2d(32, 32, 3, padding=1, groups=32 if others else 1)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        middle, nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 5),
    )  # fmt: skip


@pytest.fixture
def asked() -> Iterator[Asking]:
    with Asking() as asking:
        yield asking


def test_what_makes_the_host_wait_is_counted(asked: Asking) -> None:
    x = torch.arange(4.0)
    mask = x > 1
    for number, wait in enumerate(
        (
            lambda: float(x[0]),
            lambda: bool(mask.any()),
            lambda: x.tolist(),
            lambda: mask.nonzero(),
            lambda: torch.equal(x, x),
            lambda: x[mask],
            lambda: x[torch.argmax(x)],
        ),
        start=1,
    ):
        wait()
        assert asked.count == number
    _ = x[1:].sum() + x.index_select(0, torch.argmax(x).view(1))
    assert asked.count == 7


@pytest.mark.usefixtures("asking_waits")
@pytest.mark.parametrize("others", [False, True], ids=["layers", "a depthwise convolution"])
def test_the_host_waits_once_an_iteration(others: bool) -> None:
    counts: list[int] = []
    with Asking() as asking:
        prune.global_iterative_unstructured(
            _wide(others=others),
            prune.SynFlow,
            0.15,  # less than a fifth, so that no layer is looked at for dead channels
            example_inputs=torch.ones(1, 3, 8, 8),
            iterations=8,
            callback=lambda *_: counts.append(asking.count),
        )
    waits = [later - earlier for earlier, later in pairwise(counts[1:])]  # the first iteration checks more
    assert waits == [2] * 6  # one of an iteration, one for the report that the callback gets


@pytest.mark.usefixtures("asking_waits")
def test_selection_asks_for_nothing(asked: Asking) -> None:
    survivors = Survivors([torch.ones(50, 40, dtype=torch.bool), torch.ones(30, dtype=torch.bool)])
    scores = ScoreStream([torch.rand(50, 40), torch.rand(30)])
    before = asked.count
    survivors.keep_highest(scores, Together(700))
    assert asked.count == before
    assert sum(survivors.counts) == survivors.total == 700
    assert asked.count == before + 1
