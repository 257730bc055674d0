"""A model of which each rank has a part (FSDP2, HSDP, tensor parallelism) ends with the masks of a single process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.parallel.launching import torchrun
from tests.parallel.programs.sharded import METHODS, PATTERNS

pytestmark = pytest.mark.skipif(not hasattr(torch.cpu.Stream, "record_event"), reason="torch without FSDP2 on the CPU")


def same(pair: Any) -> bool:
    first, second = pair
    return len(first) == len(second) > 0 and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("sharded", 2, tmp_path_factory.mktemp("two"), "methods", "layouts")


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("sharded", 2, tmp_path_factory.mktemp("life"), "patterns", "lifecycle")


@pytest.mark.parametrize("name", METHODS)
def test_masks_are_those_of_one_process_bit_for_bit_and_so_is_training(two: list[Any], name: str) -> None:
    for rank in two:
        found = rank["methods"][name]
        assert same(found["masks"])
        assert found["placed"]
        assert found["reports"][0] == found["reports"][1]
        for one, parts in zip(*found["trained"], strict=True):
            torch.testing.assert_close(parts, one, rtol=0, atol=1e-12)


def check_layouts(ranks: list[Any], expected: set[str]) -> None:
    for rank in ranks:
        assert set(rank["layouts"]) == expected
        for found in rank["layouts"].values():
            assert same(found["masks"])
            ties = torch.cat([mask.flatten() for mask in found["ties"]])
            kept = round(0.4 * len(ties))
            assert ties.bool().tolist() == [True] * kept + [False] * (len(ties) - kept)


def test_layouts_give_the_masks_of_one_process_and_ties_go_to_the_lower_index(two: list[Any]) -> None:
    check_layouts(two, {"fsdp", "mixed", "tensor"})


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("layout", ["fsdp", "tensor"])
def test_patterns_give_the_masks_of_one_process(life: list[Any], layout: str, name: str) -> None:
    for rank in life:
        masks = rank["patterns"][layout, name]
        assert same(masks)
        assert all(bool((mask.reshape(-1, 2).sum(1) == 1).all()) for mask in masks[1])


def test_each_layer_stays_if_layers_are_kept(two: list[Any]) -> None:
    for rank in two:
        _, masks = rank["methods"]["KeepingLayers"]["masks"]
        assert sum(int(mask.sum()) for mask in masks) == 12
        assert all(bool(mask.any()) for mask in masks)


@pytest.mark.slow
def test_layouts_of_four_ranks(tmp_path: Path) -> None:
    check_layouts(torchrun("sharded", 4, tmp_path, "layouts"), {"fsdp", "mixed", "hybrid", "tensor"})


def test_a_model_pruned_before_it_is_sharded_keeps_its_zeros(life: list[Any]) -> None:
    for rank in life:
        assert len(rank["lifecycle"]["early"]) == 3
        for weight, mask in rank["lifecycle"]["early"]:
            assert bool((weight[mask == 0] == 0).all())
            assert bool((mask == 0).any())


def test_what_is_refused_leaves_all_as_it_was(life: list[Any]) -> None:
    for rank in life:
        errors = rank["lifecycle"]["errors"]
        starts = (
            "ValueError: pruning_method: OptimalBrainDamage", "ValueError: 0.weight: expected parts that hold whole",
            "ValueError: global_iterative_unstructured: expected the same on all ranks, got parameters: 0.weight",
            "ValueError: global_iterative_unstructured: expected the same on all ranks, got pattern: 'None' on rank 0",
        )  # fmt: skip
        assert len(errors) == 10
        assert all(error.startswith(start) for error, start in zip(errors, starts, strict=False))
        assert "iterations: expected at least 1, got -1" in errors[4]
        assert "model: expected the model" in errors[5]
        assert "stop" in errors[6]
        assert "remove_all" in errors[7]
        assert "expected to leave at least 1 weights, one per layer" in errors[8]
        assert "LSTM: a recurrent layer" in errors[9]
        assert "prune before fully_shard" in errors[9]
        assert rank["lifecycle"]["same"]


def test_pruning_twice_tightens_and_checkpoints_and_removal_work(life: list[Any]) -> None:
    for rank in life:
        found = rank["lifecycle"]
        first, second = (torch.cat([mask.flatten() for mask in masks]) for masks in found["twice"])
        assert bool((second <= first).all())
        assert int(first.sum()) == round(0.5 * len(first))
        assert int(second.sum()) < int(first.sum())
        assert found["loaded"]
        pruned, removed, names = found["removed"]
        assert torch.equal(pruned, removed)
        assert not any(name.endswith("_orig") for name in names)
