"""FSDP2 writes whole parameters to where pruning has moved them; an upgrade that moves what it remembers fails here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.utils.prune import custom_from_mask

from torch_synflow._torch.fully_sharded import follow_names, is_managed, managed_names, reshard

fully_shard = pytest.importorskip("torch.distributed.fsdp", reason="torch without FSDP2").fully_shard
pytestmark = pytest.mark.skipif(not hasattr(torch.cpu.Stream, "record_event"), reason="torch without FSDP2 on the CPU")


@pytest.fixture
def group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_fsdp2_follows_a_parameter_to_its_new_name_and_back() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    assert not is_managed(model[0])
    fully_shard(model)
    assert is_managed(model[0])
    assert (model[0], "weight") in managed_names(model.modules())
    custom_from_mask(model[0], "weight", torch.ones_like(model[0].weight))
    follow_names(model.modules())
    assert managed_names(model.modules()) == {
        (model[0], "weight_orig"), (model[0], "bias"), (model[1], "weight"), (model[1], "bias"),
    }  # fmt: skip


@pytest.mark.usefixtures("group")
def test_resharding_gives_dtensors_back() -> None:
    model = nn.Linear(4, 2)
    fully_shard(model, reshard_after_forward=False)
    sharded = type(model.weight)
    model.unshard()
    assert type(model.weight) is not sharded
    reshard(model)
    assert type(model.weight) is sharded
    reshard(None)  # no model, nothing to do
