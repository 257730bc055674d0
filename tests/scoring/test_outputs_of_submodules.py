"""Submodules whose outputs count, where what the model returns is no flow."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import diagnostics, prune

X = torch.ones(1, 4)


class Chooses(nn.Module):
    """A body, two heads, and a choice among what the heads make, as a detector makes it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.scale = nn.Linear(4, 8), nn.Identity()
        self.heads = nn.ModuleDict({"kinds": nn.Linear(8, 3), "boxes": nn.Linear(8, 5)})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = torch.relu(self.body(x))
        kinds, boxes = self.heads["kinds"](hidden), self.heads["boxes"](self.scale(hidden))
        kept = kinds.softmax(-1) > 0.3
        return {"kept": boxes[:, :3][kept], "kinds": kinds[kept]}


class Returns(Chooses):
    def forward(self, x: Tensor) -> Any:
        hidden = torch.relu(self.body(x))
        return self.heads["kinds"](hidden), self.heads["boxes"](self.scale(hidden))


HEADS = ["heads.kinds", "heads.boxes"]


def close(found: Any, wanted: Any) -> None:
    assert len(found) == len(wanted)
    for score, value in zip(found.values(), wanted.values(), strict=True):
        torch.testing.assert_close(score.as_subclass(Tensor), value.as_subclass(Tensor))


@pytest.mark.parametrize("method", [prune.SynFlow, prune.BalancedSynFlow])
def test_outputs_of_submodules_are_scored_as_if_the_model_returned_them(method: Any) -> None:
    model = Chooses()
    wanted = method.scores(Returns(), example_inputs=X)
    close(method.scores(model, example_inputs=X, outputs=HEADS), wanted)
    close(method.scores(model, example_inputs=X, outputs=list(model.heads.values())), wanted)
    close(method.bind(model, example_inputs=X, outputs=HEADS).scores(), wanted)


def test_one_submodule_counts_alone() -> None:
    params = lambda model: [(model.body, "weight"), (model.heads["kinds"], "weight")]  # noqa: E731
    model, other = Chooses(), Returns()
    wanted = prune.SynFlow.scores(other, params(other), example_inputs=X, outputs=0)
    close(prune.SynFlow.scores(model, params(model), example_inputs=X, outputs="heads.kinds"), wanted)
    close(prune.SynFlow.scores(model, params(model), example_inputs=X, outputs=model.heads["kinds"]), wanted)


def test_a_loss_is_given_what_submodules_return_each_time_that_they_run() -> None:
    class Twice(Chooses):
        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.relu(self.body(x))
            return torch.stack([self.heads["kinds"](hidden).relu_(), self.heads["kinds"](2 * hidden)])

    seen: list[Any] = []

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        seen.append(outputs)
        return F.cross_entropy(outputs[0] + outputs[1], targets)

    model, x, y = Twice(), torch.rand(6, 4), torch.arange(6) % 3
    params = [(model.body, "weight"), (model.heads["kinds"], "weight")]
    prune.SNIP.scores(model, params, data=(x, y), loss_fn=loss, outputs="heads.kinds")
    (outputs,) = seen
    hidden = torch.relu(model.body(x))
    for found, given in zip(outputs, (hidden, 2 * hidden), strict=True):  # not as relu_ left them
        torch.testing.assert_close(found, model.heads["kinds"](given))


def test_nothing_is_decided_by_the_magnitudes_of_flow() -> None:
    """The rest of the model reads zeros, so a pass is recorded although boxes are chosen in it."""
    model = Chooses()
    report = prune.global_iterative_unstructured(
        model, prune.BalancedSynFlow, 0.5, example_inputs=X, iterations=20, outputs=HEADS
    )
    assert report.empty_layers == ()
    assert diagnostics.trainability(model, X, outputs=HEADS).can_train
    assert diagnostics.warn_if_untrainable(model, X, outputs=HEADS).outputs == 8
    effective = diagnostics.effective_sparsity(model, X, outputs=HEADS)
    masks = diagnostics.effective_masks(model, X, outputs=HEADS)
    assert sum(int(mask.sum()) for mask in masks.values()) == sum(layer.effective for layer in effective.layers) > 0
    assert diagnostics.path_norm(model, X, outputs=HEADS).path_norm > 0
    assert diagnostics.compression(model, example_inputs=X, outputs=HEADS).report.collapsed == ()
    assert diagnostics.shuffled_effect(model, X, outputs=HEADS).before == effective


def hooks(model: nn.Module) -> list[int]:
    return [len(module._forward_hooks) for module in model.modules()]


def test_hooks_are_gone_afterwards_and_after_an_error() -> None:
    model = Chooses()
    before = pickle.dumps(model.state_dict())
    prune.SynFlow.scores(model, example_inputs=X, outputs=HEADS)
    assert not any(hooks(model))
    with pytest.raises(RuntimeError, match="shape"):
        prune.SynFlow.scores(model, example_inputs=torch.ones(1, 5), outputs=HEADS)
    with pytest.raises(KeyboardInterrupt):
        prune.SynFlow.scores(Interrupts(model), example_inputs=X, outputs=HEADS[1])
    assert not any(hooks(model))
    assert pickle.dumps(model.state_dict()) == before


class Interrupts(nn.Module):
    def __init__(self, model: Chooses) -> None:
        super().__init__()
        self.heads, self.body = model.heads, model.body

    def forward(self, x: Tensor) -> Tensor:
        self.heads["boxes"](torch.relu(self.body(x)))
        raise KeyboardInterrupt


class NamesTwice(Chooses):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.body(x)
        return {"body": self.heads["boxes"](hidden), "other": hidden}


@pytest.mark.parametrize("method", [prune.SynFlow, prune.BalancedSynFlow])
def test_a_key_goes_before_a_submodule_of_that_name(method: Any) -> None:
    model = NamesTwice()
    params = [(model.body, "weight"), (model.heads["boxes"], "weight")]
    wanted = method.scores(model, params, example_inputs=X, outputs=lambda found: found["body"])
    close(method.scores(model, params, example_inputs=X, outputs="body"), wanted)
    body = method.scores(model, params[:1], example_inputs=X, outputs=model.body)
    torch.testing.assert_close(body[params[0]].as_subclass(Tensor), model.body.weight.detach().abs().double())


@pytest.mark.parametrize(
    ("model", "chosen", "error", "message"),
    [
        (Chooses(), "heads.masks", ValueError, r"returns or a submodule of it, got 'heads\.masks' of dict"),
        (
            Chooses(),
            nn.Linear(2, 2),
            ValueError,
            "expected a submodule of the model, got a Linear that does not belong to it",
        ),
        (
            Chooses(),
            ["heads", "heads.kinds"],
            ValueError,
            r"do not contain each other, got 'heads\.kinds' within 'heads'",
        ),
        (NamesTwice(), "heads.kinds", ValueError, r"expected a submodule that the model runs, got 'heads\.kinds'"),
        (Chooses(), [], TypeError, r"a submodule or its name, or a list of these, got \[\]"),
        (Chooses(), [2.5], TypeError, r"a submodule or its name, or a list of these, got \[2\.5\]"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_name(
    model: nn.Module, chosen: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"outputs: .*{message}"):
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=X, outputs=chosen)
    assert not hasattr(model.body, "weight_mask")
    assert not any(hooks(model))
