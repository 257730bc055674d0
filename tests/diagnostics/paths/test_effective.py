"""Effective sparsity against all paths of small random networks, and what it must be at the ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.diagnostics.paths.brute_force import KINDS, Entry, Mlp, Unrolled
from tests.diagnostics.paths.random_networks import random_network
from torch_synflow import diagnostics, prune

few = settings(deadline=None, max_examples=60, derandomize=True)


def entries_on_paths(network: Unrolled, outputs: Tensor) -> set[Entry]:
    return {entry for path in network.paths(outputs) for entry in path}


@pytest.mark.parametrize("kind", KINDS)
@few
@given(seed=st.integers(0, 10**6), density=st.sampled_from([0.1, 0.2, 0.3, 0.45]))
def test_effective_entries_are_those_on_a_path(kind: Callable[[], nn.Module], seed: int, density: float) -> None:
    model, masks = random_network(kind, seed, density)
    on_paths = entries_on_paths(*model.unroll(masks))
    found = diagnostics.effective_masks(model, torch.rand(2, *model.shape))
    listed = {
        (name, flat)
        for name, module in model.named_children()
        if (module, "weight") in found
        for flat in found[module, "weight"].flatten().nonzero().flatten().tolist()
    }
    assert listed == on_paths
    summary = diagnostics.effective_sparsity(model, torch.rand(2, *model.shape))
    assert summary.effective == len(on_paths)
    assert summary.kept == sum(int(mask.sum()) for mask in masks.values())
    assert summary.effective_sparsity == pytest.approx(1 - len(on_paths) / summary.total)


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_dense_network_is_effective(kind: Callable[[], nn.Module]) -> None:
    summary = diagnostics.effective_sparsity(kind(), torch.rand(1, *kind.shape))
    network, outputs = kind().unroll(
        {n: torch.ones_like(m.weight) for n, m in kind().named_children() if not isinstance(m, nn.BatchNorm2d)}
    )
    assert summary.effective == len(entries_on_paths(network, outputs))
    assert summary.actual_sparsity == 0


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_fully_pruned_network_is_effective(kind: Callable[[], nn.Module]) -> None:
    model = kind()
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 1.0)
    summary = diagnostics.effective_sparsity(model, torch.rand(1, *kind.shape))
    assert (summary.effective, summary.kept, summary.effective_sparsity, summary.actual_sparsity) == (0, 0, 1.0, 1.0)


def test_biases_start_no_path() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    nn.init.ones_(model[0].bias)
    torch_prune.custom_from_mask(model[0], "weight", torch.tensor([[1, 1], [0, 0]]))
    found = diagnostics.effective_masks(model, torch.rand(1, 2))
    assert found[model[2], "weight"].tolist() == [[True, False]]


def test_values_of_weights_do_not_matter() -> None:
    """Zeros that are kept, and numbers of any size, are kept entries."""
    model = Mlp()
    with torch.no_grad():
        model.a.weight.zero_()
        model.b.weight.mul_(1e-30)
        model.c.weight.mul_(-1e30)
    assert diagnostics.effective_sparsity(model, torch.rand(1, 3)).effective == 36


def test_depth_neither_overflows_nor_vanishes() -> None:
    """A million paths a layer overflow float64 after 52 layers; shares of one in a million vanish likewise."""
    wide = nn.Sequential(*[nn.Linear(100, 100, bias=False) for _ in range(200)])
    assert diagnostics.effective_sparsity(wide, torch.rand(1, 100)).effective == 200 * 100 * 100


def test_a_wide_side_does_not_drown_a_narrow_one() -> None:
    """One entry with a single path beside others with 16^80: both are on paths."""

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide = nn.Sequential(*[nn.Linear(16, 16, bias=False) for _ in range(80)])
            self.narrow = nn.Sequential(*[nn.Linear(1, 1, bias=False) for _ in range(80)])
            self.head = nn.Linear(17, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.cat([self.wide(x), self.narrow(x[:, :1])], 1))

    summary = diagnostics.effective_sparsity(Beside(), torch.rand(1, 16))
    assert summary.effective == summary.total == 80 * 257 + 34


POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "max_pool2d": lambda x: F.max_pool2d(x, 3, 2, 1),
    "dilated": lambda x: F.max_pool2d(x, 2, 1, 0, 2),
    "ceil_mode": lambda x: F.max_pool2d(x, 2, ceil_mode=True),
    "leaves_a_rim": lambda x: F.max_pool2d(x, 2, 4),
    "indices": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "module": nn.MaxPool2d((2, 3), stride=(1, 2), padding=(1, 1)),
    "adaptive": lambda x: F.adaptive_max_pool2d(x, 2),
    "adaptive_module": nn.AdaptiveMaxPool2d(1),
    "amax": lambda x: x.amax((2, 3), keepdim=True),
    "max": lambda x: x.max(3).values.max(2, keepdim=True)[0].unsqueeze(3),
}


@pytest.mark.parametrize("name", POOLS)
def test_any_entry_of_a_window_may_be_the_greatest(name: str) -> None:
    """What is before the pooling is on a path where any window covers it: as the gradient of random inputs shows."""
    pool = POOLS[name]

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(1, 25, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return pool(self.first(x).reshape(-1, 1, 5, 5))

    net = Pooled()
    found = diagnostics.effective_masks(net, torch.rand(1, 1))[net.first, "weight"].flatten()
    covered = torch.zeros(25, dtype=torch.bool)
    for seed in range(200):
        x = torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(seed)).requires_grad_()
        pool(x).sum().backward()
        covered |= x.grad.flatten() > 0
    assert torch.equal(found, covered)
