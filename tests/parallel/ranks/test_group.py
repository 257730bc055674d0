"""Which ranks make a call together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch.distributed as dist
from torch import nn

from torch_synflow import parallel, prune
from torch_synflow.parallel.ranks.group import group_of_call


@pytest.fixture
def group(tmp_path: Path) -> Iterator[dist.ProcessGroup]:
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    assert dist.group.WORLD is not None
    yield dist.group.WORLD
    dist.destroy_process_group()


def test_one_process_is_no_group() -> None:
    assert not dist.is_initialized()
    assert group_of_call() is None


def test_a_group_of_one_rank_waits_for_none(group: dist.ProcessGroup) -> None:
    assert group_of_call() is None
    with parallel.within(group):
        report = prune.global_iterative_unstructured(nn.Linear(4, 2), prune.L1Unstructured, 0.5)
    assert report.kept == 4


@pytest.mark.parametrize("given", [None, "world", 0])
def test_what_is_no_group_is_refused(given: object) -> None:
    expected = pytest.raises(TypeError, match=rf"group: expected a process group from torch.*, got {given!r}; for")
    with expected, parallel.within(given):  # type: ignore[arg-type]
        pass
