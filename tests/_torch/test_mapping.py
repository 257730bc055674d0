"""The loop gives what ``torch.vmap`` gives; an upgrade of torch that renames what it is made of fails here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._functorch import apis

from torch_synflow._torch.mapping import ORIGINAL, run_vmap_as_loop

A, B = torch.rand(3, 4, 5), torch.rand(5, 3)
CALLS: dict[str, Callable[[], Any]] = {
    "one argument": lambda: torch.vmap(lambda a: a.sum(0))(A),
    "dimensions": lambda: torch.vmap(lambda a, b: a @ b, in_dims=(0, -1), out_dims=1)(A, B),
    "a tree": lambda: torch.vmap(lambda d, s: (d["a"] * s, d["b"]), ({"a": 2, "b": 0}, None))({"a": A, "b": B}, 2.0),
    "trees of results": lambda: torch.vmap(lambda a: {"x": a.mean(), "y": (a, a.t())}, out_dims=-1)(A),
    "dimensions in a tuple": lambda: torch.vmap(lambda a: a.sum(0), out_dims=(1,))(A),
    "nested": lambda: torch.vmap(torch.vmap(torch.dot))(A, A),
    "by keyword": lambda: torch.vmap(lambda a, b: a + b.sum())(A, b=B),
    "by chunks": lambda: torch.vmap(lambda a: a.cumsum(0), chunk_size=2)(A),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_loop_gives_what_vmap_gives(call: str) -> None:
    expected = CALLS[call]()
    examples: list[Any] = []

    def is_tensor(leaf: Any) -> bool:
        examples.append(leaf)
        return isinstance(leaf, Tensor)

    run_vmap_as_loop(over=is_tensor)
    try:
        torch.testing.assert_close(CALLS[call](), expected)
    finally:
        run_vmap_as_loop(over=None)
    assert examples
    assert apis.vmap_impl is ORIGINAL


def test_other_arguments_are_mapped_as_usual() -> None:
    run_vmap_as_loop(over=lambda leaf: False)
    try:
        assert torch.vmap(lambda a: torch.tensor(torch._C._functorch.is_batchedtensor(a)))(A).all()
    finally:
        run_vmap_as_loop(over=None)
