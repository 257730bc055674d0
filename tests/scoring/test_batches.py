"""The data of a call: batches in every form, and what is refused as none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.small_net import Net, X, Y, refuses
from torch_synflow import SNIP, GraSP, prune


def test_data_that_is_empty_or_no_data() -> None:
    model = Net()

    def run(data: Any) -> Callable[[], object]:
        return lambda: prune.global_iterative_unstructured(model, SNIP, 0.5, data=data, loss_fn=F.cross_entropy)

    refuses(ValueError, "data: expected at least one batch, got none", model, run([]))
    refuses(ValueError, "data: expected at least one batch, got none", model, run(iter(())))
    refuses(ValueError, "data: expected at least one example", model, run((X[:0], Y[:0])))
    for wrong in (X, "cifar10", 3):
        refuses(TypeError, r"data: expected a batch \(inputs, targets\)", model, run(wrong))
    for wrong in ([X], [(X,)], [None]):
        refuses(TypeError, "data: expected a batch .* as batch 0", model, run(wrong))
    arrays = r"got ndarray as batch 0; torch\.from_numpy\(x\) makes a tensor"
    refuses(TypeError, arrays, model, run((X.numpy(), Y.numpy())))
    refuses(TypeError, "data: expected inputs that hold tensors", model, run([("text", Y)]))


def test_a_dataset_is_no_data() -> None:
    dataset = TensorDataset(X, Y)
    message = r"data: expected a batch .*got the dataset TensorDataset, whose items are single examples; .*DataLoader"
    refuses(TypeError, message, model := Net(), lambda: SNIP.scores(model, data=dataset, loss_fn=F.cross_entropy))


def test_data_that_holds_one_batch_in_every_form() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=8)
    masks = []
    for data in ((X, Y), [X, Y], [(X, Y)], loader, iter(loader), (batch for batch in loader)):
        model = Net()
        prune.global_iterative_unstructured(model, SNIP, 0.5, data=data, loss_fn=F.cross_entropy, iterations=3)
        masks.append(model[0].weight_mask)
    assert all(torch.equal(mask, masks[0]) for mask in masks)


def test_data_that_yields_nan() -> None:
    model = Net()
    bad = X.clone()
    bad[3, 2] = float("nan")
    for method in (SNIP, GraSP):
        refuses(
            ValueError,
            "data: expected a finite loss, got nan for batch 1",
            model,
            lambda m=method, model=model: prune.global_iterative_unstructured(
                model, m, 0.5, data=[(X, Y), (bad, Y)], loss_fn=F.cross_entropy
            ),
        )
