"""Gradients of the mean loss over all data, however it is cut into batches, and losses that have none."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.scoring.closed_forms import close, data, every_data_method, mlp
from tests.small_net import Net, X, Y, refuses
from torch_synflow import SNIP, GraSP, prune


@pytest.mark.parametrize(
    ("loss_fn", "error", "message"),
    [
        (
            lambda out, y: F.cross_entropy(out, y, reduction="none"),
            ValueError,
            r"expected a scalar, got a tensor of shape \(8,\)",
        ),
        (lambda out, y: F.cross_entropy(out, y).item(), Exception, "item|scalar"),
        (lambda out, y: 0.5, TypeError, "expected a scalar tensor, got float"),
        (
            lambda out, y: F.cross_entropy(out.detach(), y),
            ValueError,
            "expected a loss that depends on the model's outputs",
        ),
        (
            lambda out, y: (out.argmax(1) != y).float().mean(),
            ValueError,
            "expected a loss that depends on the model's outputs",
        ),
        (torch.no_grad()(F.cross_entropy), ValueError, "expected a loss that depends on the model's outputs"),
    ],
)
def test_losses_that_have_no_gradient(loss_fn: Any, error: type[Exception], message: str) -> None:
    for method in (SNIP, GraSP):
        model = Net()
        refuses(
            error,
            message,
            model,
            lambda m=method, model=model: prune.global_iterative_unstructured(
                model, m, 0.5, data=(X, Y), loss_fn=loss_fn
            ),
        )


@every_data_method
@pytest.mark.parametrize("size", [1, 5, 12])
def test_batches_give_the_gradient_of_the_mean_over_all_examples(method: Any, size: int) -> None:
    model = mlp(5, 7, 3)
    inputs, targets = data()
    whole = method.scores(model, data=(inputs, targets), loss_fn=F.cross_entropy)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=size, shuffle=True)
    close(method.scores(model, data=loader, loss_fn=F.cross_entropy), whole)
    close(method.scores(model, data=iter(loader), loss_fn=F.cross_entropy), whole)


@every_data_method
@pytest.mark.parametrize("size", [1, 5, 12, 100])
def test_chunks_of_one_batch_give_its_gradient(method: Any, size: int) -> None:
    """In evaluation mode, BatchNorm included; float64 to rounding."""

    class Chunked(method):  # type: ignore[misc]
        batch_size = size
        training = False

    class Whole(method):  # type: ignore[misc]
        batch_size = None
        training = False

    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3)).double()
    model(data()[0])  # statistics that are not zero and one
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    expected = Whole.scores(model, data=data(), loss_fn=F.cross_entropy)
    # GraSP passes one batch through once, and cut ones twice
    assert sizes == [12]
    sizes.clear()
    close(
        Chunked.scores(model, data=data(), loss_fn=F.cross_entropy),
        {p: s.as_subclass(Tensor) for p, s in expected.items()},
    )
    chunks = [min(size, 12 - start) for start in range(0, 12, size)]
    assert sizes == chunks * (2 if issubclass(method, prune.GraSP) and len(chunks) > 1 else 1)


def test_chunks_of_nested_inputs_and_targets() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: Tensor, scale: Tensor, y: Tensor) -> Tensor:
            return self.layer(x * scale + y)

    class Chunked(prune.SNIP):
        batch_size = 5

    x, targets = data()
    model = Net().double()
    inputs = {"x": x, "scale": torch.tensor(2.0, dtype=torch.float64), "y": x.flip(0)}

    def loss_fn(outputs: Tensor, targets: Any) -> Tensor:
        return (F.cross_entropy(outputs, targets["label"], reduction="none") * targets["weight"]).mean()

    batch = [(inputs, {"label": targets, "weight": torch.rand(12, dtype=torch.float64)})]
    whole = prune.snip_scores(model, batch, loss_fn)
    close(Chunked.scores(model, data=batch, loss_fn=loss_fn), {p: s.as_subclass(Tensor) for p, s in whole.items()})


@pytest.mark.parametrize("size", [0, -3, 2.0, True, "4"])
def test_batch_sizes_that_are_none(size: Any) -> None:
    class Odd(prune.SNIP):
        batch_size = size

    with pytest.raises(ValueError, match=r"Odd\.batch_size: expected None or an int of at least 1, got"):
        Odd.scores(mlp(5, 3), data=data(), loss_fn=F.cross_entropy)


def test_a_batch_whose_tensors_do_not_all_hold_its_examples_is_not_cut() -> None:
    class Chunked(prune.SNIP):
        batch_size = 5

    inputs, targets = data()
    with pytest.raises(ValueError, match=r"expected 12 as the first dimension .* by batch_size, got shape \(11,\)"):
        Chunked.scores(mlp(5, 3), data=(inputs, targets[:11]), loss_fn=F.cross_entropy)


def test_a_second_pass_with_other_random_numbers_is_said(caplog: pytest.LogCaptureFixture) -> None:
    class Drawing(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * random.uniform(0.5, 1.5)

    model = Drawing(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))
    batch = (torch.rand(6, 3), torch.arange(6) % 3)
    with caplog.at_level(logging.INFO, logger="torch_synflow"):
        prune.grasp_scores(model, batch, F.cross_entropy)
        assert not caplog.text
        prune.grasp_scores(model, [batch, batch], F.cross_entropy)
    assert "GraSP passes batches twice, with different random numbers of Python's random" in caplog.text
