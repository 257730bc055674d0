"""Masks shuffled within layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import nn

from benchmarks.faults.fingerprint import bits, fingerprint
from benchmarks.faults.fuse import Fuse
from benchmarks.faults.watch import Operations
from tests.ablations.pruned import generator, pruned
from tests.cases import MODELS
from tests.masks import distinct, mask_of
from torch_synflow import ablations


def test_shuffling_permutes_each_mask_and_leaves_weights() -> None:
    model = pruned(MODELS[0])
    masks = [mask_of(pair).clone() for pair in distinct(model)]
    weights = [bits(parameter) for parameter in model.parameters()]
    ablations.shuffle_masks(model, generator=generator())
    after = [mask_of(pair) for pair in distinct(model)]
    assert any(not torch.equal(a, b) for a, b in zip(masks, after, strict=True))
    assert [m.unique().tolist() for m in after] == [[0.0, 1.0]] * len(after)
    assert [bits(parameter) for parameter in model.parameters()] == weights


def test_every_permutation_is_as_likely() -> None:
    """Of four entries of which one is kept, each is the one in about a quarter of 2,000 draws."""
    model = nn.Linear(4, 1, bias=False)
    torch_prune.l1_unstructured(model, "weight", amount=3)
    draws = generator()
    kept = torch.zeros(4)
    for _ in range(2000):
        ablations.shuffle_masks(model, generator=draws)
        kept += model.weight_mask[0]
    assert kept.sum() == 2000
    assert kept.min() > 420  # four standard deviations are 77
    assert kept.max() < 580


def test_shuffling_gives_a_tied_tensor_one_mask_everywhere() -> None:
    case = next(case for case in MODELS if case.name == "tied_layers")
    model = pruned(case)
    ablations.shuffle_masks(model, generator=generator())
    assert torch.equal(model.first.weight_mask, model.second.weight_mask)
    assert model.first.weight_orig is model.second.weight_orig


def test_shuffling_only_what_is_listed() -> None:
    model = pruned(MODELS[7])
    others = [bits(mask_of(pair)) for pair in distinct(model)[1:]]
    first = model[0].weight_mask.clone()
    ablations.shuffle_masks(model, [(model[0], "weight")], generator=generator())
    assert not torch.equal(model[0].weight_mask, first)
    assert [bits(mask_of(pair)) for pair in distinct(model)[1:]] == others


def test_shuffling_what_is_not_pruned_is_an_error() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    before = fingerprint(model)
    with pytest.raises(ValueError, match=r"model: expected a mask .* to shuffle, got Sequential without one"):
        ablations.shuffle_masks(model)
    assert fingerprint(model) == before
    torch_prune.l1_unstructured(model[0], "weight", amount=3)
    before = fingerprint(model)
    with pytest.raises(ValueError, match=r"1\.weight: expected a mask"):
        ablations.shuffle_masks(model, [(model[0], "weight"), (model[1], "weight")])
    assert fingerprint(model) == before


def test_a_mask_that_keeps_nothing_or_all_stays() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    torch_prune.random_unstructured(model[0], "weight", amount=9)
    torch_prune.random_unstructured(model[1], "weight", amount=0)
    ablations.shuffle_masks(model)
    assert not model[0].weight_mask.any()
    assert model[1].weight_mask.all()


def test_pruning_goes_on_from_a_shuffled_mask() -> None:
    model = nn.Linear(10, 10)
    torch_prune.l1_unstructured(model, "weight", amount=30)
    torch_prune.random_unstructured(model, "weight", amount=20)
    ablations.shuffle_masks(model, generator=generator())
    mask = model.weight_mask.clone()
    torch_prune.l1_unstructured(model, "weight", amount=10)
    assert int(model.weight_mask.sum()) == 40
    assert bool((model.weight_mask <= mask).all())


def test_a_failure_while_masks_are_drawn_leaves_torchs_random_state() -> None:
    model = pruned(MODELS[7])
    count = Fuse()
    with Operations(count):
        ablations.shuffle_masks(model)
    (place,) = count.passed
    before = fingerprint(model, versions=False)
    for call in range(1, count.passed[place] + 1, 5):
        with pytest.raises(KeyboardInterrupt), Operations(Fuse(place, call, KeyboardInterrupt)):
            ablations.shuffle_masks(model)
        assert fingerprint(model, versions=False) == before
