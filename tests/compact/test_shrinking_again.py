"""A network that was shrunk can be pruned and shrunk again, to the network that all masks at once lead to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.compact.nets import NETS, emptied, made
from tests.compact.test_attention import KINDS, WIDTH, projections
from tests.compact.test_attention import emptied as keep_rows
from tests.compact.test_attention import made as attending
from tests.compact.test_training_when_shrunk import OPTIMIZERS, train
from torch_synflow import prune
from torch_synflow.compact.narrow import NarrowAttention


def mask_alike(small: nn.Module, wide: nn.Module) -> None:
    """Mask what is left of a network as in the wide one, whose weights all have different values."""
    masks = prune.masks(wide)
    places = {name: wide.get_submodule(name.rpartition(".")[0]) for name in masks}
    for name, mask in masks.items():
        path, _, own = name.rpartition(".")
        kept = places[name]._parameters[f"{own}_orig"].detach()[mask]
        module = small.get_submodule(path)
        held = module._parameters.get(f"{own}_orig", module._parameters.get(own))
        assert held is not None
        if held.numel():
            prune.custom_from_mask(module, own, torch.isin(held.detach(), kept))


def same_network(twice: nn.Module, once: nn.Module, wide: nn.Module, x: Tensor) -> None:
    shapes = [{name: value.shape for name, value in one.state_dict().items()} for one in (twice, once)]
    assert shapes[0] == shapes[1]
    for training in (False, True):
        for other in (x, torch.randn_like(x) if x.is_floating_point() else x.flip(0)):
            expected = wide.train(training)(other)
            for one in (twice, once):
                torch.testing.assert_close(one.train(training)(other), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", NETS)
def test_twice_is_once_with_both_masks(name: str, seed: int) -> None:
    wide, x = made(name, seed, part=0.15)
    small = prune.shrink(wide, x)
    emptied(wide, seed + 10, 0.25)
    mask_alike(small, wide)
    twice = prune.shrink(small, x)
    assert sum(map(torch.numel, twice.parameters())) < sum(map(torch.numel, small.parameters()))
    same_network(twice, prune.shrink(wide, x), wide, x)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_twice_is_once_with_both_masks(kind: str) -> None:
    wide, x = attending(kind)
    small = prune.shrink(wide, x)
    keep_rows(wide.attention, [0, 8, 9], [0, 9], [8, 11])
    mask_alike(small, wide)
    twice, once = prune.shrink(small, x), prune.shrink(wide, x)
    for one in (twice, once):
        attention = one.attention
        assert isinstance(attention, NarrowAttention)
        assert (attention.num_heads, attention.query_channels, attention.value_channels) == (1, 1, 2)
        assert attention.heads_left == ([2], 3)
        assert sum(len(getattr(attention, name)) for name in dict(projections(attention))) == 2 + 2
    same_network(twice, once, wide, x)
    queries = small.attention.query_channels
    expected = f"1 of 2 heads, with 1 of {queries} channels of queries and 2 of 3 of values"
    assert expected in str(twice.shrink_report)


def test_a_constant_value_is_there_once_more_than_before() -> None:
    """Biases of values that lost their weights in the first or in the second round all reach the output."""
    wide, x = attending("no weights")
    small = prune.shrink(wide, x)
    before = len(small.attention.in_proj_bias)
    keep_rows(wide.attention, [0, 8, 9], [0, 9], [8, 11])
    mask_alike(small, wide)
    twice = prune.shrink(small, x)
    assert before == 2 * (2 * 3 + 3) + WIDTH - 2 * 3
    assert len(twice.attention.in_proj_bias) == 1 + 1 + 2 + WIDTH - 2
    assert twice.attention.out_proj.weight.shape == (WIDTH, WIDTH)


def test_attention_that_was_narrow_trains_as_with_masks_after_it_is_cut_again() -> None:

    wide, x = attending("no weights")
    small = prune.shrink(wide, x)
    keep_rows(wide.attention, [0, 8, 9], [0, 9], [8, 11])
    mask_alike(small, wide)
    optimizers = [OPTIMIZERS["adamw"](one.parameters()) for one in (wide, small)]
    given = [(torch.randn_like(x), torch.randint(0, 4, (len(x),))) for _ in range(30)]
    for one, its in zip((wide, small), optimizers, strict=True):
        train(one, its, given[:5])
    twice = prune.shrink(small, x, optimizer=optimizers[1])
    expected = train(wide, optimizers[0], given[5:])
    torch.testing.assert_close(train(twice, optimizers[1], given[5:]), expected, rtol=1e-9, atol=1e-9)
