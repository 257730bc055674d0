"""Strategies of Lightning with two real processes: all ranks end with one mask, and so does the process around them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.lightning.modules import Classifier
from torch_synflow import prune

ROOT = Path(__file__).parents[2]
slow = pytest.mark.slow


def run(folder: Path, *arguments: str, written: str = "*") -> dict[str, Any]:
    """What the processes of a run have written, of the names that match ``written``."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.lightning.launched", *arguments, str(folder)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.stem: torch.load(path, weights_only=True) for path in folder.glob(f"{written}.pt")}


def trained(state: dict[str, Any]) -> dict[str, Any]:
    """Without the running statistics, which are each rank's own in DistributedDataParallel, until the next step."""
    return {name: tensor for name, tensor in state.items() if "running" not in name}


def equal(state: Any, other: Any) -> bool:
    return state.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in state.items())


def masks(state: dict[str, Any]) -> dict[str, Any]:
    return {name.removesuffix("_mask"): tensor for name, tensor in state.items() if name.endswith("_mask")}


@pytest.mark.parametrize(
    ("strategy", "method"),
    [
        ("ddp_fork", "SNIP"),
        *(
            pytest.param(strategy, method, marks=slow)
            for strategy, method in (
                ("ddp", "SNIP"), ("ddp_spawn", "SNIP"), ("ddp", "GraSP"), ("ddp_spawn", "SynFlow"),
                ("ddp_fork", "RandomUnstructured"), ("ddp", "SynFlow"), ("ddp", "L1Unstructured"),
            )
        ),
    ],
)  # fmt: skip
def test_all_ranks_end_with_one_mask_and_one_set_of_weights(strategy: str, method: str, tmp_path: Path) -> None:
    found = run(tmp_path, strategy, method)
    assert equal(trained(found["rank_0"]), trained(found["rank_1"]))
    assert equal(found["main"], found["rank_0"])
    kept = masks(found["rank_0"])
    assert sum(int(mask.sum()) for mask in kept.values()) == 64
    if method != "RandomUnstructured":
        assert not torch.equal(found["batch_0"][0], found["batch_1"][0])
        alone = Classifier()
        given: dict[str, Any] = {"example_inputs": torch.ones(1, 5)}
        if method in ("SNIP", "GraSP"):
            given = {"data": [found["batch_0"], found["batch_1"]], "loss_fn": F.cross_entropy}
        prune.global_iterative_unstructured(alone, getattr(prune, method), 0.5, **given)
        assert equal(kept, prune.masks(alone))


@slow
@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn", "ddp_fork"])
def test_model_pruning_with_a_bound_class(strategy: str, tmp_path: Path) -> None:
    found = run(tmp_path, strategy, "ModelPruning")
    assert equal(trained(found["rank_0"]), trained(found["rank_1"]))
    assert equal(found["main"], found["rank_0"])
    assert sum(int(mask.sum()) for mask in masks(found["rank_0"]).values()) == 32


@slow
@pytest.mark.parametrize("method", ["SynFlow", "SNIP"])
def test_fsdp2_ends_with_the_masks_of_one_process_and_resumes(method: str, tmp_path: Path) -> None:
    found = run(tmp_path, "fsdp2", method, written="[!r]*") | {"resumed": torch.load(tmp_path / "resumed.pt")}
    assert equal(trained(found["whole"]), trained(found["resumed"]))
    assert equal(masks(found["half"]), masks(found["whole"]))
    alone = Classifier()
    given: dict[str, Any] = {"example_inputs": torch.ones(1, 5)}
    if method == "SNIP":
        given = {"data": [found["batch_0"], found["batch_1"]], "loss_fn": F.cross_entropy}
    prune.global_iterative_unstructured(alone, getattr(prune, method), 0.5, **given)
    assert equal(masks(found["whole"]), prune.masks(alone))
