"""Constants that nothing can change are passed on by one channel; the report says why others stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.compact.test_training_when_shrunk import OPTIMIZERS, same_weights, train
from tests.compact.test_what_goes import keep
from torch_synflow import prune


def convolutions(between: nn.Module | None = None, *, padding: int = 1) -> nn.Sequential:
    """A frozen backbone: five of the eight first channels have no weights, but a bias; a head that is trained."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), between or nn.GELU(), nn.Conv2d(8, 6, 3, padding=padding), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4),
    ).double()  # fmt: skip
    for layer in model[:-1]:
        layer.requires_grad_(False)
    keep(model[0], rows=[1, 4, 6])
    prune.random_unstructured(model[2], "weight", 0.2)
    return model


def normed(mean: float = 0.0, *, affine: bool = True) -> nn.Sequential:
    torch.manual_seed(1)
    bn = nn.BatchNorm2d(8, affine=affine)
    if affine:
        nn.init.normal_(bn.bias)
    model = convolutions(nn.Sequential(bn.double(), nn.ReLU()).requires_grad_(False))
    model[0].bias = None
    bn.running_mean.fill_(mean)
    return model


def flat() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 9, 6), nn.Linear(6, 4)).double()
    model[:-1].requires_grad_(False)
    keep(model[0], rows=[1, 4, 6])
    return model


def report(small: nn.Module) -> str:
    return "; ".join(small.shrink_report.layers[0].notes)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("build", [convolutions, None])
def test_one_channel_stands_for_all_constants_through_padding_too(
    build: Callable[..., nn.Module], padding: int
) -> None:
    model, x = convolutions(padding=padding) if build else normed(), torch.randn(4, 3, 8, 8, dtype=torch.float64)
    small = prune.shrink(model, x)
    assert (small[0].out_channels, small[2].in_channels) == (4, 4)
    for training in (False, True):
        for other in (torch.randn_like(x), torch.randn(2, 3, 11, 9, dtype=torch.float64)):
            expected = model.train(training)(other)
            torch.testing.assert_close(small.train(training)(other), expected, rtol=1e-12, atol=1e-12)
    assert "1 pass on a constant" in report(small)
    assert "that is frozen, for all such channels" in report(small)


def test_through_a_flattening() -> None:
    model, x = flat(), torch.randn(4, 3, 5, 5, dtype=torch.float64)
    small = prune.shrink(model, x)
    assert (small[0].out_channels, small[3].in_features) == (4, 36)
    torch.testing.assert_close(small(x), model(x), rtol=1e-12, atol=1e-12)


def test_in_single_precision_to_rounding() -> None:
    model, x = convolutions().float(), torch.randn(4, 3, 8, 8)
    small = prune.shrink(model, x)
    assert small[0].out_channels == 4
    torch.testing.assert_close(small.eval()(x), model.eval()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_training_of_what_is_not_frozen_goes_on(kind: str) -> None:
    model, twin, x = normed(), normed(), torch.randn(4, 3, 8, 8, dtype=torch.float64)
    optimizer = OPTIMIZERS[kind](twin.parameters())
    small = prune.shrink(twin, x, optimizer=optimizer)
    given = [(torch.randn_like(x), torch.arange(4))] * 20
    expected = train(model, OPTIMIZERS[kind](model.parameters()), given)
    torch.testing.assert_close(train(small, optimizer, given), expected, rtol=1e-9, atol=1e-9)
    assert expected[-1] < expected[0]
    same_weights(prune.shrink(model, x), small)


def trained_reader() -> nn.Sequential:
    model = convolutions()
    model[2].weight_orig.requires_grad_(True)
    return model


def trained_bias() -> nn.Sequential:
    model = convolutions()
    model[0].bias.requires_grad_(True)
    return model


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (trained_reader, "0.bias, that is frozen, but 2.weight, which reads it, is trained"),
        (trained_bias, "0.bias, that is trained"),
        (lambda: convolutions(nn.AvgPool2d(3, 1, 1)), "0.bias, that is frozen, but differs"),
        (lambda: convolutions(nn.Dropout(0.5)), "0.bias, that is frozen, but differs"),
        (lambda: convolutions(nn.BatchNorm2d(8).requires_grad_(False).double()), "0.bias, that is frozen, but differs"),
        (lambda: normed(0.5, affine=False), "1.0.running_mean, that training changes"),
    ],
)  # fmt: skip
def test_a_constant_stays_where_folding_is_not_exact_and_the_report_says_why(
    build: Callable[[], nn.Sequential], why: str
) -> None:
    model, x = build(), torch.randn(4, 3, 8, 8, dtype=torch.float64)
    small = prune.shrink(model, x)
    assert small[0].out_channels == 8
    assert f"5 pass on a constant, {why}" in report(small)


def test_after_training_a_frozen_network_becomes_smaller_again() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(), nn.Flatten(1),
        nn.Linear(8 * 16, 4),
    )  # fmt: skip
    keep(model[0], rows=[0, 3, 5])
    nn.init.normal_(model[1].bias)
    x: Tensor = torch.randn(8, 3, 8, 8)
    train(model, torch.optim.SGD(model.parameters(), 0.05), [(x, torch.arange(8) % 4)] * 5)
    assert prune.shrink(model, x)[0].out_channels == 16
    small = prune.shrink(model.requires_grad_(False), x)
    assert small[0].out_channels == 4
    torch.testing.assert_close(small.eval()(x), model.eval()(x), rtol=1e-5, atol=1e-5)
