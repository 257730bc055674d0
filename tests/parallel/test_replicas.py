"""Ranks of a group end with one mask: that of a single process with all their data."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.parallel.launching import torchrun
from tests.parallel.programs.replicas import DATA, FREE, WRAPPED


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("replicas", 2, tmp_path_factory.mktemp("replicas"))


@pytest.mark.parametrize("name", [*DATA, *FREE])
def test_all_ranks_have_the_masks_of_one_process_with_all_data(ranks: list[Any], name: str) -> None:
    (shared, alone), (other, _) = (rank["both"][name] for rank in ranks)
    assert 0 < sum(int(mask.sum()) for mask in shared.values()) < sum(mask.numel() for mask in shared.values())
    assert same(shared, other)
    assert same(shared, alone)


@pytest.mark.parametrize("kind", WRAPPED)
def test_a_wrapped_model_has_the_same_masks_and_trains_to_the_same_weights(ranks: list[Any], kind: str) -> None:
    (first, weights, masks), (second, others, _) = (rank["wrapped"][kind] for rank in ranks)
    assert first
    assert same(first, second)
    assert len(masks) == len(first)
    assert all(torch.equal(one, other) for one, other in zip(weights, others, strict=True))


def test_scores_are_of_all_data(ranks: list[Any]) -> None:
    (shared, alone), (other, _) = (rank["scored"]["scores"] for rank in ranks)
    assert len(shared) == 3
    for mine, theirs, one in zip(shared, other, alone, strict=True):
        assert torch.equal(mine, theirs)
        torch.testing.assert_close(mine, one, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", ["bound", "one tensor"])
def test_classes_bound_to_a_model_prune_by_the_scores_of_all(ranks: list[Any], kind: str) -> None:
    first, second = (rank["scored"][kind] for rank in ranks)
    assert len(first) == 2
    assert same(first, second)


def test_ranks_alone_prune_models_of_their_own(ranks: list[Any]) -> None:
    first, second = (rank["groups"] for rank in ranks)
    assert not same(first["alone"], second["alone"])
    assert same(first["alone"], first["within one"])
    assert same(second["alone"], second["within one"])


def test_a_group_is_chosen(ranks: list[Any]) -> None:
    first, second = (rank["groups"]["within"] for rank in ranks)
    assert same(first, second)
    assert same(first, ranks[0]["both"]["SNIP"][0])


@pytest.mark.slow
def test_three_ranks_with_unequal_numbers_of_batches(tmp_path_factory: pytest.TempPathFactory) -> None:
    ranks = torchrun("replicas", 3, tmp_path_factory.mktemp("three"))
    for name in DATA:
        shared, alone = ranks[0]["both"][name]
        assert all(same(shared, rank["both"][name][0]) for rank in ranks)
        assert same(shared, alone)
