"""Blocks of which nothing is left become constants, or the identity."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.compact.nets import Heads, Mobile, Residual
from tests.compact.test_training_when_shrunk import OPTIMIZERS, batches, same_weights, train
from torch_synflow import prune
from torch_synflow.compact.empty import EmptyConvolution, EmptyLinear

IMAGES = (6, 3, 8, 8)


def emptied(module: nn.Module, *names: str) -> nn.Module:
    """Mask all of some layers."""
    for name in names:
        layer = module.get_submodule(name)
        prune.custom_from_mask(layer, "weight", torch.zeros_like(layer.weight))
    return module


def residual(*names: str) -> nn.Module:
    torch.manual_seed(0)
    model = Residual()
    for bn in (model.bn, model.bn1, model.bn2):
        nn.init.uniform_(bn.bias)
    return emptied(model, *names).double()


def notes(small: nn.Module, name: str) -> tuple[str, ...]:
    return next(layer.notes for layer in small.shrink_report.layers if layer.name == name)


def test_an_empty_block_becomes_its_trained_offset() -> None:
    model, x = residual("conv2"), torch.randn(IMAGES, dtype=torch.float64)
    small = prune.shrink(model, x)
    shapes = [tuple(part.weight.shape) for part in (small.conv1, small.bn1, small.conv2, small.bn2)]
    assert shapes == [(0, 8, 3, 3), (0,), (8, 0, 3, 3), (8,)]
    assert (small.conv1.out_channels, small.conv2.in_channels, small.bn1.num_features) == (0, 0, 0)
    assert notes(small, "conv2") == ("no weight is left: bn2.bias takes the place of its outputs",)
    macs = {layer.name: layer.macs_kept for layer in small.shrink_report.layers}
    assert macs["conv1"] == macs["conv2"] == 0
    for training in (False, True):
        torch.testing.assert_close(small.train(training)(x), model.train(training)(x), rtol=1e-12, atol=1e-12)


def test_an_empty_block_without_a_constant_is_the_identity() -> None:
    model, x = residual("conv2"), torch.randn(IMAGES, dtype=torch.float64)
    nn.init.zeros_(model.bn2.bias).requires_grad_(False)
    small = prune.shrink(model, x).eval()
    assert notes(small, "conv2") == ("no weight is left: zero takes the place of its outputs",)
    stem = torch.relu(small.bn(small.stem(x)))
    torch.testing.assert_close(small(x), small.head(stem.mean((2, 3))), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(small(x), model.eval()(x), rtol=1e-12, atol=1e-12)


def perceptron() -> nn.Module:
    torch.manual_seed(0)
    return emptied(Heads(), "down").double()


def mobile() -> nn.Module:
    torch.manual_seed(0)
    model = Mobile()
    return emptied(model, "excite", "squeeze").double()


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("build", [lambda: residual("conv2"), lambda: residual("conv1", "conv2"), perceptron, mobile])
def test_training_goes_on_as_with_masks(build: Callable[[], nn.Module], kind: str) -> None:
    model, twin, x = build(), build(), torch.randn(IMAGES, dtype=torch.float64)
    optimizer = OPTIMIZERS[kind](twin.parameters())
    small = prune.shrink(twin, x, optimizer=optimizer)
    assert any(isinstance(part, (EmptyConvolution, EmptyLinear)) for part in small.modules())
    given = batches(x, 20)
    expected = train(model, OPTIMIZERS[kind](model.parameters()), given)
    torch.testing.assert_close(train(small, optimizer, given), expected, rtol=1e-9, atol=1e-9)
    same_weights(prune.shrink(model, x), small)


class _Pooled(nn.Module):
    """A block whose pooling runs on one channel at least."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1), nn.Linear(3, 2)
        self.pool = nn.MaxPool2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x + self.second(self.pool(self.first(x)))).mean((2, 3)))


def test_a_channel_stays_where_an_operation_wants_one() -> None:
    model, x = emptied(_Pooled(), "second"), torch.randn(IMAGES)
    small = prune.shrink(model, x)
    assert (small.first.out_channels, small.second.in_channels) == (1, 1)
    assert "1 stay so that the layer has a channel" in notes(small, "first")
    torch.testing.assert_close(small(x), model(x))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(4, 6, 3, stride=2, padding=1, bias=False), nn.Conv2d(4, 6, (3, 5), padding="same"),
        nn.Conv2d(4, 6, 3, padding="valid"), nn.Conv2d(4, 6, 3, dilation=2, padding=(1, 2), groups=2),
        nn.Conv3d(4, 6, 2, stride=(1, 2, 1)), nn.Linear(8, 6), nn.Linear(8, 6, bias=False),
    ],
)  # fmt: skip
def test_empty_layers_make_what_masked_ones_make(layer: nn.Module) -> None:
    dims = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3, nn.Linear: 1}[type(layer)]  # type: ignore[index]
    x = torch.randn(2, 4, *[8] * dims)
    with torch.no_grad():
        layer.weight.zero_()
        expected = layer(x)
        layer.weight = nn.Parameter(layer.weight[:, :0])
        layer.__class__ = EmptyLinear if isinstance(layer, nn.Linear) else EmptyConvolution
        assert torch.equal(layer(x), expected)


def test_what_is_left_is_pruned_diagnosed_shrunk_and_saved_again() -> None:
    model, x = residual("conv2"), torch.randn(IMAGES, dtype=torch.float64)
    small = prune.shrink(model, x)
    with pytest.warns(UserWarning, match=r"on no path .*: conv1.weight, conv2.weight"):
        prune.global_iterative_unstructured(small, prune.SynFlow, 0.3, example_inputs=x[:1], iterations=2)
    again = prune.shrink(small, x)
    torch.testing.assert_close(again.eval()(x), small.eval()(x), rtol=1e-12, atol=1e-12)
    prune.load_pruned(prune.shrink(model, x), small.state_dict())
    prune.remove_all(again)
    assert again.conv2.weight.shape == (8, 0, 3, 3)
