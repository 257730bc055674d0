"""Leaving dead channels out changes no result: against the dense computation in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, grad

from torch_synflow import prune
from torch_synflow.channels import LeaveOutDeadChannels, channels_of

SPATIAL = {nn.Linear: 0, nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}


def outputs_and_gradients(layer: nn.Module, weight: Tensor, x: Tensor, *, leave_out: bool) -> list[Tensor]:
    indices = weight.reshape(-1).nonzero().squeeze(1)
    calls: list[int] = []

    def output(weight: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        living = channels_of(indices, weight.shape) if leave_out else None
        calls.append(0 if living is None else 1)
        with LeaveOutDeadChannels({} if living is None else {id(weight): living}):
            out = functional_call(layer, {"weight": weight}, (x,))
        return (out * torch.arange(1.0, out.numel() + 1).view(out.shape)).sum(), out

    gradients, out = grad(output, argnums=(0, 1), has_aux=True)(weight, x)
    assert calls == [1] or not leave_out
    return [gradients[0] * (weight != 0), gradients[1], out]


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    kind=st.sampled_from(list(SPATIAL)),
    dead_out=st.sets(st.integers(0, 5), min_size=2, max_size=6),
    dead_in=st.sets(st.integers(0, 4), min_size=1, max_size=5),
    bias=st.booleans(),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    mode=st.sampled_from(["zeros", "reflect", "circular"]),
    seed=st.integers(0, 1000),
)
def test_the_result_is_that_of_all_channels(
    kind: Any,
    dead_out: set[int],
    dead_in: set[int],
    bias: bool,
    stride: int,
    padding: int,
    dilation: int,
    mode: str,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    dims = SPATIAL[kind]
    options = {"stride": stride, "padding": padding, "dilation": dilation, "padding_mode": mode} if dims else {}
    if dims == 3 and mode == "reflect":
        options["padding_mode"] = "replicate"
    layer = kind(5, 6, *([3] if dims else []), bias=bias, **options).double()
    weight = layer.weight.detach().clone()
    weight[sorted(dead_out)] = 0
    weight[:, sorted(dead_in)] = 0
    x = torch.rand(2, 5, *[7] * dims, dtype=torch.float64)
    for ours, dense in zip(
        outputs_and_gradients(layer, weight, x, leave_out=True),
        outputs_and_gradients(layer, weight, x, leave_out=False),
        strict=True,
    ):
        torch.testing.assert_close(ours, dense, rtol=1e-12, atol=1e-12)


def test_living_channels_are_those_with_entries() -> None:
    mask = torch.zeros(4, 3, 2)
    mask[1, 0, 1] = mask[3, 0, 0] = 1
    living = channels_of(mask.reshape(-1).nonzero().squeeze(1), mask.shape)
    assert living is not None
    assert [kept.tolist() for kept in living] == [[0], [1, 3]]
    assert channels_of(torch.arange(24), mask.shape) is None


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 4, 3, groups=2), nn.ConvTranspose2d(4, 4, 3), nn.Bilinear(4, 4, 4)])
def test_layers_that_are_read_otherwise_are_computed_whole(layer: nn.Module) -> None:
    """Grouped and transposed convolutions have their channels elsewhere."""
    x = torch.rand(2, 4, 5, 5) if not isinstance(layer, nn.Bilinear) else torch.rand(2, 4)
    inputs = (x, x) if isinstance(layer, nn.Bilinear) else (x,)
    expected = layer(*inputs)
    with LeaveOutDeadChannels({id(layer.weight): (torch.tensor([0]), torch.tensor([0]))}):
        assert torch.equal(layer(*inputs), expected)


@pytest.mark.parametrize("method", [prune.SynFlow, prune.SNIP, prune.GraSP])
def test_iterating_to_few_weights_gives_the_masks_of_dense_scoring(method: Any) -> None:
    """Each iteration is compared with one of a fresh call, which scores all channels."""
    x, y = torch.rand(6, 3, 8, 8, dtype=torch.float64), torch.arange(6) % 3
    needs = {"example_inputs": x, "data": (x, y), "loss_fn": nn.functional.cross_entropy}

    def build() -> nn.Module:
        torch.manual_seed(0)
        body = [nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 3, stride=2), nn.ReLU()]
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(48, 3)).double()

    once, again = build(), build()
    counts: list[int] = []
    prune.global_iterative_unstructured(
        once, method, 0.98, iterations=12, callback=lambda _, report: counts.append(report.kept), **needs
    )
    before = 12 * 27 + 12 * 108 + 144
    for count in counts:
        prune.global_iterative_unstructured(again, method, before - count, iterations=1, **needs)
        before = count
    for index in (0, 3, 6):
        assert torch.equal(once[index].weight_mask, again[index].weight_mask)
