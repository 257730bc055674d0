"""A checkpoint is an ordinary part of the forward pass within the mode, and hooks from outside stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from torch_synflow._torch import checkpointing
from torch_synflow._torch.checkpointing import NoCheckpoints, hooks_on_saved_tensors
from torch_synflow._torch.functions import show_autograd_functions

WHERE = "see torch_synflow/_torch/checkpointing.py"


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_checkpoint_holds_runs_once(*, reentrant: bool) -> None:
    runs = []

    def part(x: Tensor) -> Tensor:
        runs.append(1)
        return x.exp().sin()

    def gradient(run: Any) -> Tensor:
        x = torch.linspace(-1, 1, 5, requires_grad=True)
        return torch.autograd.grad(run(x).sum(), x)[0]

    expected = gradient(part)
    runs.clear()
    show_autograd_functions()
    try:

        def checkpointed(x: Tensor) -> Tensor:
            with NoCheckpoints():
                return checkpoint(part, x, use_reentrant=reentrant)

        found = gradient(checkpointed)
    finally:
        show_autograd_functions(shown=False)
    assert torch.equal(found, expected)
    assert len(runs) == 1, f"the part ran {len(runs)} times: a checkpoint is no longer left out; {WHERE}"


def test_a_checkpoint_is_left_out_where_torch_does_not_tell_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointing, "INNERMOST", None)
    test_what_a_checkpoint_holds_runs_once(reentrant=False)
    test_what_a_checkpoint_holds_runs_once(reentrant=True)


TELLS = pytest.mark.skipif(checkpointing.INNERMOST is None, reason="this torch does not tell hooks on saved tensors")


@TELLS
def test_hooks_from_outside_stay() -> None:
    packed = []

    def pack(tensor: Tensor) -> Tensor:
        packed.append(tensor)
        return tensor

    x = torch.ones(3, requires_grad=True)
    with saved_tensors_hooks(pack, lambda tensor: tensor), NoCheckpoints():
        x.exp()
    assert len(packed) == 1


@TELLS
def test_hooks_from_outside_stay_within_a_checkpoint_that_has_its_own() -> None:
    packed = []

    def pack(tensor: Tensor) -> Tensor:
        packed.append(tensor)
        return tensor

    def unpack(tensor: Tensor) -> Tensor:
        return tensor

    x = torch.ones(3, requires_grad=True)
    with saved_tensors_hooks(pack, unpack), NoCheckpoints(pack, unpack):
        checkpoint(lambda y: y.exp().sin(), x, use_reentrant=False)
    assert sum(torch.equal(tensor, x.exp()) for tensor in packed) == 2  # the result of one, and what the other reads


@TELLS
def test_the_innermost_hooks_are_known() -> None:
    assert hooks_on_saved_tensors() is None, WHERE
    with saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
        assert hooks_on_saved_tensors() is not None, WHERE
