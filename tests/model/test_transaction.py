"""Models that misbehave while they are scored, and interrupts anywhere, leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.small_net import BATCH, Net, X, Y, refuses, state
from torch_synflow import SNIP, GraSP, SynFlow, prune


class Misbehaving(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.misbehave()
        return super().forward(x)

    def misbehave(self) -> None:
        raise NotImplementedError


def test_a_model_whose_forward_raises() -> None:
    class Raises(Misbehaving):
        def misbehave(self) -> None:
            self.called = True
            self[1].running_mean.add_(1.0)
            raise OverflowError("the user's own")

    model = Raises()
    refuses(
        OverflowError,
        "the user's own",
        model,
        lambda: prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X),
    )


def test_a_model_whose_forward_prunes() -> None:
    class Prunes(Misbehaving):
        def misbehave(self) -> None:
            prune.l1_unstructured(self[3], "weight", 2)

    model = Prunes()
    run = prune.global_iterative_unstructured
    message = r"model: its forward prunes, adds or removes parameters \((weight|3 Linear)\).*prune outside forward"
    refuses(ValueError, message, model, lambda: run(model, SynFlow, 0.5, example_inputs=X))
    refuses(ValueError, message, model, lambda: prune.synflow_scores(model, X))
    prune.l1_unstructured(model[3], "weight", 2)
    refuses(ValueError, message, model, lambda: run(model, SNIP, 0.5, **BATCH))


def test_a_model_that_changes_its_buffers_and_attributes() -> None:
    class Changes(Misbehaving):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("mask", torch.ones(3), persistent=False)
            self.cache = torch.zeros(3)
            self.history: list[int] = [1]

        def misbehave(self) -> None:
            self.calls += 1
            self.mask.mul_(2.0)
            self.cache.add_(1.0)
            self.history.append(2)
            self.last = 5
            self.training = not self.training

    for method in (SynFlow, SNIP, GraSP):
        model = Changes()
        before = state(model)
        method.scores(model, example_inputs=X, data=(X, Y), loss_fn=F.cross_entropy)
        assert state(model) == before
        assert model.history == [1]
        prune.global_iterative_unstructured(model, method, 0.5, example_inputs=X, **BATCH)
        assert (float(model.calls), model.cache.tolist(), model.mask.tolist()) == (0.0, [0.0] * 3, [1.0] * 3)


class Interrupting:
    """A loader that is interrupted in its second batch."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield X, Y
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk"), MemoryError()])
def test_an_interrupt_anywhere_leaves_the_model_as_it_was(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Net()
    prune.l1_unstructured(model[0], "weight", 0.2)
    model(X).sum().backward()
    model[1].cached = torch.rand(3)

    def interrupted(*_: Any, **__: Any) -> None:
        torch.rand(3)
        raise error

    def run(**arguments: Any) -> None:
        before = state(model)
        with pytest.raises(type(error)):
            prune.global_iterative_unstructured(model, **arguments)
        assert state(model) == before

    run(
        pruning_method=SynFlow,
        amount=0.5,
        example_inputs=X,
        iterations=5,
        callback=lambda step, _: step == 3 and interrupted(),
    )
    run(pruning_method=SNIP, amount=0.5, data=Interrupting(error), loss_fn=F.cross_entropy)
    run(pruning_method=GraSP, amount=0.5, data=(X, Y), loss_fn=interrupted)
    handle = model[2].register_forward_hook(interrupted)
    run(pruning_method=SynFlow, amount=0.5, example_inputs=X)
    handle.remove()
    # in the middle of attaching: the second module is reached with the first one already pruned
    monkeypatch.setattr(type(model[3]), "register_forward_pre_hook", interrupted)
    run(pruning_method=SynFlow, amount=0.5, example_inputs=X)


@pytest.mark.parametrize("how", ["scored", "pruned"])
def test_an_interrupt_that_an_assertion_of_torch_hides_is_what_is_raised(how: str) -> None:
    class Interrupted(Misbehaving):
        def misbehave(self) -> None:
            try:
                raise KeyboardInterrupt
            finally:
                raise RuntimeError("!dynamicLayerStack.empty() INTERNAL ASSERT FAILED at DynamicLayer.cpp")

    model = Interrupted()
    work = {
        "scored": lambda: prune.synflow_scores(model, X),
        "pruned": lambda: prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X),
    }[how]
    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        work()
    assert str(state(model)) == str(before)
