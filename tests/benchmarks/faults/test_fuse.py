"""A fuse fires once, where and when it is told to."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.faults.fuse import FAILURES, Fuse, hidden, injected, lit, passing
from benchmarks.faults.watch import EDGE, MOMENT, WATCHES


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_it_fires_at_the_nth_call_of_its_place_and_not_again(failure: type[BaseException]) -> None:
    fuse = Fuse("data", 2, failure)
    with lit(fuse):
        passing("loss function")
        passing("data")
        with pytest.raises(failure) as raised:
            passing("data")
        passing("data")
    assert fuse.fired
    assert injected(raised.value) is raised.value
    assert not hidden(raised.value)
    passing("data")
    assert fuse.passed == {"data": 2, "loss function": 1}


def test_an_error_that_was_raised_because_of_it_tells_unless_it_hides_an_interrupt() -> None:
    chained = ValueError("other")
    chained.__cause__ = RuntimeError("on purpose")
    assert injected(chained) is chained.__cause__
    assert not hidden(chained)
    chained.__cause__ = KeyboardInterrupt("on purpose")
    assert "hides KeyboardInterrupt" in hidden(chained)
    assert "not injected" in hidden(ValueError("other"))


@pytest.mark.parametrize("how", WATCHES)
def test_every_watch_counts_and_can_fail(how: str) -> None:
    model, x = nn.Linear(2, 2), torch.rand(1, 2)
    count = Fuse()
    with WATCHES[how](count):
        model(x).sum().backward()
    assert count.passed
    place = next(iter(count.passed))
    fuse = Fuse(place, count.passed[place], KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt), WATCHES[how](fuse):
        model(x).sum().backward()
    with WATCHES[how](fuse):
        model(x)
    assert how != "moments" or place[0] in (MOMENT, EDGE)
