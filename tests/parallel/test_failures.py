"""Ranks that differ or fail: one error on all of them, in time, and no model is pruned on some ranks only."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.parallel.launching import found, processes, torchrun

#: what differs, and words of the error that all ranks end with
DIFFERING = {
    "amount": ["amount: 0.5 on rank 0, 0.6 on rank 1"],
    "method": ["pruning_method: ", "L1Unstructured", "RandomUnstructured"],
    "iterations": ["iterations: 3 on rank 0, 4 on rank 1"],
    "parameters": ["parameters: 0.weight, 3.weight, 5.weight (", ") on rank 0, 0.weight, 3.weight ("],
    "order": ["parameters: 0.weight, 3.weight, 5.weight", "5.weight, 3.weight, 0.weight"],
    "densities": ["numbers of elements left: 96, 144, 24 (", ") on rank 0, 192, 48, 24 ("],
    "weights": ["0.weight: (24, 8) float64 on cpu with values", "on rank 1"],
    "bias": ["got 5.bias: (4,) float64"],
    "masks": ["0.weight: ", "184 of 192 left"],
}
#: the trouble of rank 1: its error, and what the other one is told
FAILING = {
    "error": ("OSError", "rank 1 has failed: OSError: the disk is gone"),
    "interrupt": ("KeyboardInterrupt", "rank 1 has failed: KeyboardInterrupt"),
    "callback": ("KeyError", "rank 1 has failed: KeyError: 'stop here'"),
    "attach": ("RuntimeError", "rank 1 has failed: RuntimeError: no buffers here"),
}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("failures", 2, tmp_path_factory.mktemp("failures"), "none")


@pytest.mark.parametrize("what", DIFFERING)
def test_one_error_on_all_ranks_says_what_differs(ranks: list[Any], what: str) -> None:
    first, second = (rank["differing"][what] for rank in ranks)
    kind, text, seconds = first["error"]
    assert (kind, text) == second["error"][:2]
    assert kind == "ValueError"
    assert all(words in text for words in DIFFERING[what]), text
    assert "global_iterative_unstructured: expected the same on all ranks" in text
    assert seconds < 30
    assert first.get("untouched", True)
    assert second.get("untouched", True)


def test_what_differs_is_all_that_is_said(ranks: list[Any]) -> None:
    assert "0.weight" not in ranks[0]["differing"]["bias"]["error"][1]
    assert "iterations" not in ranks[0]["differing"]["amount"]["error"][1]


def test_an_argument_that_is_wrong_on_one_rank_ends_the_call_on_all(ranks: list[Any]) -> None:
    first, second = (rank["differing"]["argument of one rank"] for rank in ranks)
    assert second["error"][:2] == ("ValueError", "iterations: expected at least 1, got -1")
    assert first["error"][0] == "RankError"
    assert "rank 1 has failed: ValueError: iterations: expected at least 1, got -1" in first["error"][1]


def test_an_argument_that_is_wrong_everywhere_gives_the_usual_error(ranks: list[Any]) -> None:
    kinds = {rank["differing"]["everywhere wrong"]["error"][:2] for rank in ranks}
    assert len(kinds) == 1
    assert kinds.pop()[0] == "ValueError"


@pytest.mark.parametrize("trouble", FAILING)
def test_a_rank_that_fails_ends_the_call_on_all_and_none_is_pruned(ranks: list[Any], trouble: str) -> None:
    first, second = (rank["failing"][trouble] for rank in ranks)
    kind, told = FAILING[trouble]
    assert second["error"][0] == kind
    assert first["error"][0] == "RankError"
    assert told in first["error"][1]
    assert first["error"][2] < 30
    assert first["untouched"]
    assert second["untouched"]


def test_the_first_rank_that_scores_alone_may_fail_too(ranks: list[Any]) -> None:
    first, second = (rank["failing"]["first rank"] for rank in ranks)
    assert first["error"][0] == "RuntimeError"
    assert second["error"][0] == "RankError"
    assert "rank 0 has failed: RuntimeError: mat1 and mat2 shapes cannot be multiplied" in second["error"][1]
    assert first["untouched"]
    assert second["untouched"]


def test_the_ranks_prune_together_after_failures(ranks: list[Any]) -> None:
    first, second = (rank["failing"]["afterwards"] for rank in ranks)
    assert first
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_rank_that_does_not_come_is_named(tmp_path: Path) -> None:
    done = processes("failures", 2, tmp_path, "absent")
    assert [process.returncode for process in done] == [0, 0]
    kind, text, seconds = found(tmp_path, 0)["error"]
    assert kind == "RankError"
    assert "expected a call on every rank of the process group, got none from rank 1 within the 6 s" in text
    assert "with torch_synflow.parallel.alone():" in text
    assert "global_iterative_unstructured waits for rank 1" in done[0].stdout
    assert seconds < 30
    kind, text, _ = found(tmp_path, 1)["error"]
    assert kind == "RankError"
    assert "got none from rank 1" in text
    assert all(found(tmp_path, rank)["untouched"] for rank in range(2))


@pytest.mark.slow
def test_a_rank_that_is_killed_is_named_by_the_others(tmp_path: Path) -> None:
    done = processes("failures", 3, tmp_path, "killed", "1")
    assert [process.returncode for process in done] == [0, -signal.SIGKILL, 0]
    for rank in (0, 2):
        result = found(tmp_path, rank)
        kind, text, seconds = result["error"]
        assert kind == "RankError"
        assert "rank 1" in text
        assert "killed" in text
        assert seconds < 40
        assert result["untouched"]


@pytest.mark.slow
def test_the_rank_that_holds_the_store_may_be_killed(tmp_path: Path) -> None:
    done = processes("failures", 2, tmp_path, "killed", "0")
    assert [process.returncode for process in done] == [-signal.SIGKILL, 0]
    result = found(tmp_path, 1)
    kind, text, seconds = result["error"]
    assert kind == "RankError"
    assert "which rank 0 or the launcher holds" in text
    assert seconds < 40
    assert result["untouched"]


@pytest.mark.slow
def test_torchrun_ends_with_a_rank_that_is_killed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="Signal 9"):
        torchrun("failures", 2, tmp_path, "killed", "1")
