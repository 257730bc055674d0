"""What each shuffle leaves as it was: counts of layers, neurons, input channels, kernels, and effective weights."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.faults.fingerprint import bits, fingerprint
from tests.ablations.pruned import generator
from torch_synflow import ablations, diagnostics, prune

IMAGE = torch.ones(1, 4, 6, 6)


def networks() -> dict[str, tuple[nn.Module, Tensor]]:
    block = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2))
    return {
        "mlp": (
            nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3)),
            torch.ones(1, 7),
        ),
        "conv": (nn.Sequential(block, nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)), IMAGE),
        "groups": (nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 8, 1, groups=8)), IMAGE),
        "transposed": (nn.Sequential(nn.ConvTranspose2d(4, 6, 2, groups=2), nn.ReLU(), nn.Conv2d(6, 2, 3)), IMAGE),
    }


def pruned_at_random(name: str, density: float, seed: int) -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, inputs = networks()[name]
        prune.global_iterative_unstructured(model, prune.RandomUnstructured, 1 - density)
    return model, inputs


def counts(model: nn.Module, within: str) -> list[list[int]]:
    """How many are kept of each part of each layer, from the layouts that torch documents."""
    found = []
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            groups = getattr(module, "groups", 1)
            mask = module.weight_mask.flatten(2) if module.weight_mask.dim() > 2 else module.weight_mask[..., None]
            mask = mask.unflatten(0, (groups, -1))
            if isinstance(module, nn.ConvTranspose2d):
                mask = mask.transpose(1, 2)  # now groups, outputs, inputs, kernel
            dims = {"layer": (0, 1, 2, 3), "neuron": (2, 3), "input": (1, 3), "kernel": (3,)}[within]
            found.append(mask.sum(dims).int().reshape(-1).tolist())
    return found


KEEPS = {
    "layer": ("layer",), "neuron": ("layer", "neuron"), "input": ("layer", "input"),
    "kernel": ("layer", "neuron", "input", "kernel"),
}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(("conv", "groups", "transposed")),
    within=st.sampled_from(("layer", "neuron", "input", "kernel")),
    density=st.floats(0.05, 0.95), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_a_shuffle_keeps_the_counts_of_its_parts_and_the_weights(
    name: str, within: ablations.shuffling.Within, density: float, seed: int
) -> None:
    model, _ = pruned_at_random(name, density, seed)
    before = {part: counts(model, part) for part in KEEPS[within]}
    weights = [bits(parameter) for parameter in model.parameters()]
    ablations.shuffle_masks(model, within=within, generator=generator(seed))
    assert {part: counts(model, part) for part in KEEPS[within]} == before
    assert [bits(parameter) for parameter in model.parameters()] == weights


@pytest.mark.parametrize(("within", "moves"), [("layer", True), ("neuron", True), ("input", True), ("kernel", False)])
def test_finer_parts_are_left_by_coarser_shuffles_and_linear_kernels_do_not_move(within: str, moves: bool) -> None:
    model, _ = pruned_at_random("conv", 0.4, 1)
    linear = model[-1].weight_mask.clone()
    first = model[0][0].weight_mask.clone()
    ablations.shuffle_masks(model, within=within, generator=generator())  # type: ignore[arg-type]
    assert torch.equal(model[-1].weight_mask, linear) != moves
    assert not torch.equal(model[0][0].weight_mask, first)


@pytest.mark.parametrize("within", ["neuron", "input", "kernel"])
def test_every_place_within_a_part_is_as_likely(within: str) -> None:
    """Of four places of a part of which one is kept, each is the one in about a quarter of 1,200 draws."""
    shape = {"neuron": (1, 4, 1, 1), "input": (4, 1, 1, 1), "kernel": (1, 1, 2, 2)}[within]
    model = nn.Conv2d(shape[1], shape[0], shape[2:], bias=False)
    prune.random_unstructured(model, "weight", amount=3)
    draws, kept = generator(), torch.zeros(4)
    for _ in range(1200):
        ablations.shuffle_masks(model, within=within, generator=draws)  # type: ignore[arg-type]
        kept += model.weight_mask.reshape(-1)
    assert kept.sum() == 1200
    assert kept.min() > 240  # four standard deviations are 60
    assert kept.max() < 360


def effective(model: nn.Module, inputs: Tensor) -> list[tuple[int, int]]:
    return [(layer.effective, layer.kept) for layer in diagnostics.effective_sparsity(model, inputs).layers]


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(tuple(networks())), density=st.floats(0.1, 0.9), seed=st.integers(0, 2**31))
def test_the_shuffle_on_paths_keeps_effective_weights_and_densities(name: str, density: float, seed: int) -> None:
    """Or it says that it found no such masks, and has changed nothing."""
    model, inputs = pruned_at_random(name, density, seed)
    before, weights = effective(model, inputs), [bits(parameter) for parameter in model.parameters()]
    whole = fingerprint(model, versions=False)
    refused = ""
    try:
        ablations.shuffle_effective_masks(model, inputs, generator=generator(seed))
    except ValueError as error:
        refused = str(error)
    if refused:
        assert "expected shuffled masks with as many effective weights in each layer" in refused
        assert fingerprint(model, versions=False) == whole
    assert effective(model, inputs) == before
    assert [bits(parameter) for parameter in model.parameters()] == weights


@pytest.mark.parametrize("density", [0.8, 0.4])
@pytest.mark.parametrize("name", networks())
def test_the_shuffle_on_paths_moves_weights_where_there_is_room(name: str, density: float) -> None:
    model, inputs = pruned_at_random(name, density, 3)
    before = {name: mask.clone() for name, mask in prune.masks(model).items()}
    ablations.shuffle_effective_masks(model, inputs, generator=generator(1))
    after = prune.masks(model)
    assert any(not torch.equal(after[key], mask) for key, mask in before.items())


def test_the_shuffle_on_paths_leaves_what_is_on_no_path() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    prune.custom_from_mask(model[0], "weight", torch.tensor([[1, 1, 0], [1, 1, 1]]))
    prune.custom_from_mask(model[2], "weight", torch.tensor([[1, 0]]))  # the second neuron leads nowhere
    for seed in range(5):
        ablations.shuffle_effective_masks(model, torch.ones(1, 3), generator=generator(seed))
        assert model[0].weight_mask[1].tolist() == [1, 1, 1]
        assert model[2].weight_mask.tolist() == [[1, 0]]
        assert model[0].weight_mask[0].sum() == 2


def test_what_cannot_be_shuffled_is_said(caplog: pytest.LogCaptureFixture) -> None:
    model, _ = pruned_at_random("mlp", 0.5, 0)
    whole = nn.Linear(2, 2)
    before = fingerprint(model)
    with pytest.raises(
        ValueError, match=r"within: expected a model with elements to shuffle within each kernel, got 0\.weight"
    ):
        ablations.shuffle_masks(model, within="kernel")
    with pytest.raises(ValueError, match="within: expected one of 'layer', 'neuron', 'input', 'kernel', got 'row'"):
        ablations.shuffle_masks(model, within="row")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="model: expected a mask"):
        ablations.shuffle_effective_masks(whole, torch.ones(1, 2))
    assert fingerprint(model) == before
    conv, _ = pruned_at_random("conv", 0.5, 0)
    with caplog.at_level(logging.INFO, "torch_synflow"):
        ablations.shuffle_masks(conv, within="kernel")
    assert "masks of 4.weight stay: there is only one element in each kernel" in caplog.text


def test_a_seed_decides_the_shuffle_on_paths() -> None:
    found = []
    for seed in (1, 1, 2):
        model, inputs = pruned_at_random("conv", 0.5, 0)
        state = torch.get_rng_state()
        ablations.shuffle_effective_masks(model, inputs, generator=generator(seed))
        assert torch.equal(torch.get_rng_state(), state)
        found.append([bits(mask) for mask in prune.masks(model).values()])
    assert found[0] == found[1] != found[2]
