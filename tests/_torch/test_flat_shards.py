"""FSDP1 is recognised by its class, and its parameters by the mark that it sets."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from torch_synflow._torch.flat_shards import is_flat_shard, wrapped_in_fsdp1

WHERE = "see torch_synflow/_torch/flat_shards.py"


@pytest.mark.parametrize("keeps_names", [False, True])
def test_a_model_of_fsdp1_and_its_parameters_are_known(tmp_path: Path, keeps_names: bool) -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel

    assert wrapped_in_fsdp1(nn.Linear(2, 2)) is None
    assert not is_flat_shard(nn.Linear(2, 2).weight)
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cpu = torch.device("cpu")
            model = nn.Sequential(FullyShardedDataParallel(nn.Linear(4, 2), use_orig_params=keeps_names, device_id=cpu))
        assert wrapped_in_fsdp1(model) == "0", f"FullyShardedDataParallel is not found any more; {WHERE}"
        assert all(map(is_flat_shard, model.parameters())), f"parameters of FSDP1 are not marked any more; {WHERE}"
    finally:
        dist.destroy_process_group()


def test_fsdp_is_not_imported_for_those_who_do_not_use_it() -> None:
    code = (
        "import sys, torch; before = 'torch.distributed.fsdp' in sys.modules; import torch_synflow; "
        "assert ('torch.distributed.fsdp' in sys.modules) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
