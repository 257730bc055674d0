"""Batches as people have them: mappings, more than two parts, nested targets, none, a model's own loss."""

from __future__ import annotations

from collections import UserDict
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from torch_synflow import prune

X, Y = torch.rand(6, 4, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 3


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


@dataclass
class Output:
    logits: Tensor
    loss: Tensor | None = None


class ByName(nn.Module):
    """Called by keyword, as models of transformers are."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net()

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Output:
        logits = self.body(x)
        return Output(logits, None if labels is None else F.cross_entropy(logits, labels))


BINARY = nn.BCEWithLogitsLoss()
EXPECTED = list(prune.SNIP.scores(net(), data=(X, Y), loss_fn=F.cross_entropy).values())


def same(scores: Any) -> None:
    for score, expected in zip(scores.values(), EXPECTED, strict=True):
        torch.testing.assert_close(score, expected)


@pytest.mark.parametrize("kind", [dict, UserDict])
def test_a_mapping_is_the_arguments_and_its_own_targets(kind: Any) -> None:
    batch = kind({"x": X, "labels": Y})
    loss = lambda outputs, batch: F.cross_entropy(outputs.logits, batch["labels"])  # noqa: E731
    same(prune.SNIP.scores(ByName(), data=batch, loss_fn=loss))
    same(prune.SNIP.scores(ByName(), data=[batch], loss_fn=loss))


def test_a_mapping_is_scored_by_the_models_own_loss() -> None:
    batch = {"x": X, "labels": Y}
    same(prune.SNIP.scores(ByName(), data=batch))
    same(prune.SNIP.scores(ByName(), data=DataLoader([{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)], 6)))


def test_a_model_without_a_loss_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss_fn: expected .* got none, and the model's outputs \(Output\) hold no"):
        prune.SNIP.scores(ByName(), data={"x": X})


def test_grasp_divides_outputs_and_so_needs_a_loss_of_them() -> None:
    with pytest.raises(ValueError, match=r"loss_fn: expected .* divides outputs by 200"):
        prune.GraSP.scores(ByName(), data={"x": X, "labels": Y})


def test_more_than_two_parts() -> None:
    weights = torch.ones(6)
    for data in ((X, Y, weights), [X, Y, weights], [(X, Y, weights)], DataLoader(TensorDataset(X, Y, weights), 6)):
        same(prune.SNIP.scores(net(), data=data, loss_fn=F.cross_entropy))

    def weighted(outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        return (F.cross_entropy(outputs, targets, reduction="none") * weights).mean()

    same(prune.SNIP.scores(net(), data=(X, Y, weights), loss_fn=weighted))


def test_nested_targets_and_none() -> None:
    same(prune.SNIP.scores(net(), data=(X, (Y, Y)), loss_fn=lambda outputs, pair: F.cross_entropy(outputs, pair[1])))
    same(prune.SNIP.scores(net(), data=(X, {"y": Y}), loss_fn=lambda outputs, d: F.cross_entropy(outputs, d["y"])))
    same(prune.SNIP.scores(net(), data=(X, None), loss_fn=lambda outputs, _: F.cross_entropy(outputs, Y)))
    same(prune.SNIP.scores(net(), data=[(X, None)], loss_fn=lambda outputs, _: F.cross_entropy(outputs, Y)))


@pytest.mark.parametrize(
    ("targets", "loss_fn", "note"),
    [
        (Y.float(), F.cross_entropy, r"targets float32 \(6,\); classes are integers: targets\.long\(\)$"),
        (Y.int(), F.cross_entropy, r"targets int32 \(6,\); classes are integers of 64 bits: targets\.long\(\)$"),
        (Y[:4], F.cross_entropy, r"targets int64 \(4,\); expected a target for each of 6 examples, got 4$"),
        (Y[0], F.cross_entropy, r"targets int64 \(\); expected a target for each of 6 examples, got one number$"),
        (Y[:, None], F.cross_entropy, r"targets int64 \(6, 1\); .* one number per example: targets\.squeeze\(1\)$"),
        (Y + 1, F.cross_entropy, r"targets int64 \(6,\); expected classes from 0 to 2, got 1 to 3$"),
        (F.one_hot(Y), F.cross_entropy, r"targets int64 \(6, 3\); .* are floating-point: targets\.float\(\)$"),
        (torch.zeros(6), BINARY, r"outputs float32 \(6, 1\) .*float32 \(6,\); .* targets\.view_as\(outputs\)$"),
        (Y % 2, BINARY, r"targets int64 \(6,\); expected .*: targets\.view_as\(outputs\)\.float\(\)$"),
        (torch.zeros(6, 2), F.binary_cross_entropy_with_logits, r"targets float32 \(6, 2\)$"),
    ],
)
def test_targets_that_do_not_fit_are_noted_beside_the_error(targets: Tensor, loss_fn: Any, note: str) -> None:
    model = net()
    if loss_fn is BINARY:
        model[2] = nn.Linear(8, 1)
    with pytest.raises((RuntimeError, ValueError, IndexError), match=f"loss_fn: called with .*{note}"):
        prune.SNIP.scores(model, data=(X, targets), loss_fn=loss_fn)
    assert not any(hasattr(module, "weight_mask") for module in model)


def test_outputs_with_classes_in_the_last_dimension_are_noted() -> None:
    tokens, classes = torch.rand(2, 5, 4), torch.ones(2, 5, dtype=torch.int64)
    note = r"outputs float32 \(2, 5, 3\) and .* second dimension of the outputs: outputs\.movedim\(-1, 1\)$"
    with pytest.raises(RuntimeError, match=note):
        prune.SNIP.scores(net(), data=(tokens, classes), loss_fn=F.cross_entropy)
    assert prune.SNIP.scores(net(), data=(tokens, classes), loss_fn=lambda y, t: F.cross_entropy(y.movedim(-1, 1), t))


def test_inputs_alone_are_no_batch() -> None:
    with pytest.raises(TypeError, match=r"data: expected a batch .* got Tensor float32 \(6, 4\); \(x, y\) is a batch"):
        prune.SNIP.scores(net(), data=X, loss_fn=F.cross_entropy)


def test_a_class_of_losses_is_no_loss() -> None:
    with pytest.raises(TypeError, match=r"loss_fn: .* got the class CrossEntropyLoss; .*: CrossEntropyLoss\(\)"):
        prune.SNIP.scores(net(), data=(X, Y), loss_fn=nn.CrossEntropyLoss)
    with pytest.raises(TypeError, match=r"loss_fn: .* got \(float32 \(6, 4\), int64 \(6,\)\)$"):
        prune.snip_scores(net(), F.cross_entropy, (X, Y))  # type: ignore[arg-type]
