"""Zeros without a mask are seen: reports do not count them as kept, and pruning says that it does."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from tests.small_net import Net, X, state
from torch_synflow import diagnostics, prune


def removed() -> Net:
    """A network of which 80 % is zero, without a mask."""
    model = Net()
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.8)
    for index in (0, 3):
        prune.remove(model[index], "weight")
    return model


def test_reports_do_not_count_them_as_kept() -> None:
    model, masked = removed(), Net()
    expected = prune.global_iterative_unstructured(masked, prune.L1Unstructured, 0.8)
    found = diagnostics.compression(model).report
    assert (found.kept, found.total) == (expected.kept, 56) == (11, 56)
    assert found.densities == expected.densities
    assert found.zeros == 45
    assert expected.zeros == diagnostics.compression(masked).report.zeros == 0
    assert "45 are zero without a mask" in str(found)
    assert diagnostics.neuron_collapse(model) == diagnostics.neuron_collapse(masked)
    assert diagnostics.effective_sparsity(model, X) == diagnostics.effective_sparsity(masked, X)
    assert prune.layer_densities(model) == prune.layer_densities(masked)


def test_pruning_says_that_they_count_as_not_pruned_yet() -> None:
    model = removed()
    message = r"zeros without a mask.*count as not pruned yet: 0\.weight \(\d+ of 35\), 3\.weight.*prune\.apply_masks"
    with pytest.warns(UserWarning, match=message):
        report = prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    assert report.kept == 28
    assert report.zeros == 0  # there is a mask now
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)


def test_where_the_warning_is_an_error_the_model_is_as_it_was() -> None:
    model = removed()
    before = state(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="zeros without a mask"):
            prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    assert state(model) == before


def test_a_layer_that_starts_at_zero_and_a_single_zero_are_no_matter() -> None:
    model = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 2))
    with torch.no_grad():
        model[2].weight.zero_()
        model[0].weight[0, 0] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prune.global_iterative_unstructured(model, prune.RandomUnstructured, 0.1).kept == 396
    fresh = nn.Linear(20, 2)
    nn.init.zeros_(fresh.weight)
    assert diagnostics.compression(fresh).report.kept == 40


def test_mask_without_hook_of_a_users_own_layer_is_no_pruning() -> None:
    class Masked(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 2)
            self.register_buffer("bias_mask", torch.ones(2))

    assert [layer.name for layer in diagnostics.compression(Masked()).report.layers] == ["weight"]
