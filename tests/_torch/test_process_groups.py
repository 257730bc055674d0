"""A process group says where its store is, how long its ranks wait, and which devices it serves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from torch_synflow._torch.process_groups import devices_of, prefixed, store_of, timeout_of

WHERE = "see torch_synflow/_torch/process_groups.py"


@pytest.fixture
def group(tmp_path: Path) -> Iterator[dist.ProcessGroup]:
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1, timeout=timedelta(seconds=17))
    assert dist.group.WORLD is not None
    yield dist.group.WORLD
    dist.destroy_process_group()


def test_the_store_is_found(group: dist.ProcessGroup) -> None:
    store = store_of(group)
    store.set("key", "value")
    assert store.get("key") == b"value", WHERE
    assert prefixed("a", store).check(["key"]) is False, WHERE
    assert store.compare_set("new", "", "first") == b"first", WHERE
    assert store.compare_set("new", "", "second") == b"first", WHERE
    assert store.add("number", 2) == 2, WHERE


def test_the_timeout_is_that_of_the_group(group: dist.ProcessGroup) -> None:
    assert timeout_of(group) == timedelta(seconds=17), WHERE
    assert timeout_of(dist.new_group(timeout=timedelta(seconds=5))) == timedelta(seconds=5), WHERE


def test_gloo_serves_the_cpu(group: dist.ProcessGroup) -> None:
    assert devices_of(group)[0] == torch.device("cpu"), WHERE
