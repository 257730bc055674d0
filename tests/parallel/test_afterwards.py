"""What follows pruning does on a sharded model what it does on one process, or is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.parallel.launching import torchrun
from tests.parallel.programs.afterwards import REFUSED, WORKS


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return torchrun("afterwards", 2, tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("name", WORKS)
def test_parts_give_what_one_process_gives(two: list[Any], name: str) -> None:
    for rank in two:
        one, parts = rank[name]
        assert len(one) == len(parts) > 0
        for expected, got in zip(one, parts, strict=True):
            if isinstance(expected, Tensor):
                torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
            else:
                assert got == expected


@pytest.mark.parametrize("name", REFUSED)
def test_what_reads_whole_weights_is_refused_with_what_to_do(two: list[Any], name: str) -> None:
    for rank in two:
        kind, text = rank["refused"][name]
        assert kind == "ValueError"
        assert text.startswith("0.weight: expected a whole parameter")
        assert "prune.load_pruned" in text
        assert rank["same"]
