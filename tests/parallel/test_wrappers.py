"""FSDP1 is refused by name; under DistributedDataParallel the rest of the package works."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.parallel.launching import torchrun

CALLS = ("model", "synflow", "list", "scores", "masks", "shrink")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("wrappers", 2, tmp_path_factory.mktemp("wrappers"))


@pytest.mark.parametrize("call", [*(f"{call}, {keeps}" for call in CALLS for keeps in (False, True)), "pairs, True"])
def test_fsdp1_is_refused_by_name_with_what_to_do(ranks: list[Any], call: str) -> None:
    for rank in ranks:
        kind, text, seconds = rank["fsdp1"][call]
        assert kind == "ValueError"
        assert "torch.distributed.fsdp.FullyShardedDataParallel (FSDP1)" in text
        assert "prune before wrapping the model" in text
        assert "torch.distributed.fsdp.fully_shard (FSDP2)" in text
        assert seconds < 30


@pytest.mark.parametrize("keeps_names", [False, True])
def test_a_model_that_was_pruned_before_trains_under_fsdp1(ranks: list[Any], keeps_names: bool) -> None:
    for rank in ranks:
        mask, start, weight = rank["fsdp1"][f"before, {keeps_names}"]
        assert 0 < int(mask.sum()) < mask.numel()
        assert not torch.equal(start, weight)
        assert torch.equal(weight * mask, weight)


def test_reports_of_a_wrapped_model(ranks: list[Any]) -> None:
    first, second = (rank["ddp"] for rank in ranks)
    assert "53 of 528 weights kept" in first["report"]
    for what in ("report", "cost", "neurons"):
        assert first[what] == second[what]


def test_masks_removal_and_shrinking_of_a_wrapped_model(ranks: list[Any]) -> None:
    for rank in ranks:
        dense, small, kind = rank["ddp"]["shrunk"]
        assert len(rank["ddp"]["applied"]) > 3
        assert all(rank["ddp"]["applied"])
        assert not rank["ddp"]["removed"]
        assert kind == "Sequential"
        torch.testing.assert_close(small, dense)
