"""What masks that are not attached yet cut off, by a look that leaves no trace."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from benchmarks.faults.fingerprint import fingerprint
from tests.models import Residual
from torch_synflow import prune
from torch_synflow.model.parameters import Entry, resolve
from torch_synflow.reachability.losses import Losses, losses
from torch_synflow.scoring.task import Task

X = torch.ones(2, 3, 6, 6)


def without(model: nn.Module, *names: str) -> tuple[list[Entry], list[Tensor]]:
    """All prunable weights of a model, and masks that keep none of some of them."""
    entries = resolve(prune.prunable_parameters(model), model)
    return entries, [torch.full_like(e.mask, e.label.removesuffix(".weight") not in names) for e in entries]


def found(model: nn.Module, *names: str) -> Losses:
    result = losses(Task(model, X), *without(model, *names))
    assert result is not None
    return result


def test_nothing_is_lost_without_a_loss() -> None:
    result = found(Residual())
    assert (result.cut_off, result.after.bypassed, result.after.collapsed) == ((), (), ())
    assert found(Residual(), "conv1").cut_off == ()
    assert found(Residual(), "head").cut_off == ("no path from the input to any output is left",)


def test_flat_masks_will_do() -> None:
    """As the survivors of the loop are, where masks are not of their parameters' shapes."""
    model = Residual()
    entries, masks = without(model, "shortcut.0")
    result = losses(Task(model, X), entries, [mask.flatten() for mask in masks])
    assert result is not None
    assert result.after.bypassed == ("shortcut.0.weight",)


def test_a_model_of_integers_is_judged_by_its_outputs() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    result = losses(Task(model, torch.tensor([[1, 2]])), *without(model, "1"))
    assert result is not None
    assert result.cut_off == ("no path from the input to any output is left",)
    assert result.after.collapsed == ("1.weight",)


def test_a_layer_that_the_outputs_do_not_depend_on_is_neither_bypassed_nor_collapsed() -> None:
    class Unused(Residual):
        def __init__(self) -> None:
            super().__init__()
            self.auxiliary = nn.Linear(6, 2)

    result = found(Unused(), "auxiliary", "shortcut.0")
    assert result.after.empty == ("shortcut.0.weight", "auxiliary.weight")
    assert (result.after.bypassed, result.after.collapsed) == (("shortcut.0.weight",), ())


def test_outputs_that_are_constants_are_left_out() -> None:
    class Constant(Residual):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"classes": super().forward(x), "temperature": self.head.bias * 2, "one": torch.ones(3)}

    result = found(Constant(), "head")
    assert [output.numel() for output in result.after.outputs] == [3]
    assert result.cut_off == ("no path from the input to any output is left",)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_and_torchs_random_state_stay(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    class Drawing(Residual):
        def forward(self, x: Tensor) -> Tensor:
            x = x + torch.rand_like(x)
            if fails:
                raise RuntimeError("no such device")
            return super().forward(x)

    model = Drawing().train()
    prune.l1_unstructured(model.head, "weight", amount=2)
    before, state = fingerprint(model), torch.get_rng_state()
    with caplog.at_level(logging.INFO, logger="torch_synflow"):
        result = losses(Task(model, X), *without(model, "shortcut.0"))
    assert (result is None) is fails
    assert ("RuntimeError: no such device" in caplog.text) is fails
    assert fingerprint(model) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_an_interrupt_is_not_taken_for_a_model_that_can_not_be_traced() -> None:
    class Interrupted(Residual):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyboardInterrupt

    model = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        losses(Task(model, X), *without(model, "head"))
