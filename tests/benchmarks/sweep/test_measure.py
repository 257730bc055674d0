"""Trials on the digits: pure, exact in what they keep, and doing to the network what their settings say."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("sklearn")

from benchmarks.sweep.measure import Bench
from benchmarks.sweep.methods import METHODS
from benchmarks.sweep.trial import Trial
from benchmarks.training.datasets import Source
from benchmarks.training.loop import train
from benchmarks.training.recipes import frankle
from torch_synflow import diagnostics, prune

RECIPE = frankle("digits", "vgg_small").scaled(0.1)


def trial(**settings: Any) -> Trial:
    plain = {"measure": "accuracy", "dataset": "digits", "network": "vgg_small", "recipe": RECIPE}
    return Trial(**{**plain, **settings})


def bench(**settings: Any) -> Bench:
    return Bench(trial(**settings), Source(), torch.device("cpu"))


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "snip", "density": 0.1, "examples": 10, "ablation": "shuffle"},
        {"method": "random", "density": 0.1, "prune_epoch": 0.5, "ablation": "reinitialise"},
        {"measure": "scores", "method": "grasp", "examples": 3},
        {"measure": "limit", "method": "random"},
    ],
)
def test_a_trial_depends_on_its_settings_alone_and_leaves_random_numbers_alone(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    first = bench(**settings).measure()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = bench(**settings).measure()
    assert again == first
    assert torch.equal(torch.get_rng_state(), before)
    other = bench(**settings, seed=1).measure()
    assert other != first


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("iterative_snip", "saliency")])
def test_what_is_kept_is_exact(method: str) -> None:
    iterations, examples = min(METHODS[method].iterations, 20), min(METHODS[method].examples, 5)
    found = bench(measure="masks", method=method, density=0.037, iterations=iterations, examples=examples).measure()
    assert found["kept"] == round(found["total"] * 0.037)
    assert sum(kept for _, kept, _ in found["layers"]) == found["kept"]
    assert 0 <= found["effective"] <= found["kept"]
    assert found["neuron_sparsity"][0] == 1
    assert found["neuron_sparsity"] == sorted(found["neuron_sparsity"], reverse=True)
    assert found["neuron_sparsity"][100] == pytest.approx(found["collapsed_neurons"] / found["neurons"], abs=1e-6)
    shares = found["channel_sparsity"]
    assert shares == sorted(shares, reverse=True)
    assert shares[100] == pytest.approx(found["collapsed_channels"] / found["channels"], abs=1e-6)


def test_sparsities_of_channels_leave_out_the_output_layer() -> None:
    """The ten outputs of the classifier are no channels; where all is connected there are none."""
    found = bench(measure="masks", method="magnitude", density=0.05).measure()
    assert found["neurons"] == found["channels"] + 10
    assert bench(measure="masks", network="lenet_300_100", method="random").measure()["channel_sparsity"] == []


def test_masks_after_training_are_those_of_the_trained_weights() -> None:
    """Figure 15 of Frankle et al. 2021 has magnitude pruning after training too."""
    settings = {"measure": "masks", "method": "magnitude", "density": 0.2}
    start, after = bench(**settings), bench(**settings, prune_epoch=1.0)
    assert after.trial.canonical() == after.trial
    assert after.trial.reads_images
    first, last = start.measure(), after.measure()
    assert first["kept"] == last["kept"]
    assert first["layers"] != last["layers"]
    whole = after.network()
    images, _ = after.data()
    train(whole, images, RECIPE, after.order(1), until=1.0)
    prune.global_unstructured(after.pairs(whole), prune.L1Unstructured, amount=last["total"] - last["kept"])
    kept = [int(getattr(module, f"{name}_mask").sum()) for module, name in after.pairs(whole)]
    assert kept == [kept for _, kept, _ in last["layers"]]


def test_the_structure_is_that_of_the_masks() -> None:
    settings = {"method": "magnitude", "density": 0.03}
    found = bench(measure="structure", **settings).measure()
    masks = bench(measure="masks", **settings).measure()
    assert {key: found[key] for key in ("kept", "layers", "empty_layers", "effective")} == {
        key: masks[key] for key in ("kept", "layers", "empty_layers", "effective")
    }
    one = bench(measure="structure", **settings)
    model = one.network()
    one.prune(model, 0.03)
    assert found["flops"] > found["sparse_flops"] > 0
    assert 10 ** found["log10_path_norm"] == pytest.approx(diagnostics.path_norm(model, one.ones()).path_norm)
    cut = bench(measure="structure", method="magnitude", density=1e-5).measure()
    assert cut["effective"] == 0
    assert cut["log10_path_norm"] is None  # no path is left


def masks_after(**settings: Any) -> list[torch.Tensor]:
    one = bench(measure="masks", density=0.2, **settings)
    model = one.network()
    one.prune(model, 0.2)
    return [m.weight_mask for m, _ in prune.prunable_parameters(model)]


@pytest.mark.parametrize("method", ["magnitude", "snip"])
def test_ablations_of_masks(method: str) -> None:
    examples = 5 if method == "snip" else 0
    plain, shuffled, inverted = (
        masks_after(method=method, examples=examples, ablation=kind) for kind in ("none", "shuffle", "invert")
    )
    assert [m.sum() for m in plain] == [m.sum() for m in shuffled]
    assert not all(torch.equal(a, b) for a, b in zip(plain, shuffled, strict=True))
    both = sum(float((a * b).sum()) for a, b in zip(plain, inverted, strict=True))
    assert both == 0  # a fifth is kept: what is highest is not among the lowest


def test_reinitialising_draws_other_weights_of_the_same_distribution_under_the_same_masks() -> None:
    one = bench(measure="masks", method="magnitude", density=0.2, ablation="reinitialise")
    model, original = one.network(), one.network()
    one.prune(model, 0.2)
    for (module, _), (before, _) in zip(
        prune.prunable_parameters(model), prune.prunable_parameters(original), strict=True
    ):
        old, new = before.weight.detach(), module.weight_orig.detach()
        lowest = old.abs()[module.weight_mask == 1]
        if lowest.numel() and (module.weight_mask == 0).any():
            assert float(lowest.min()) >= float(old.abs()[module.weight_mask == 0].max())
        assert not torch.equal(new, old)
        assert float(new.std() / old.std()) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("epoch", [0.0, 0.5])
def test_a_rewound_network_has_the_weights_of_that_epoch_and_the_masks_of_the_end(epoch: float) -> None:
    settings = {"method": "magnitude", "density": 0.3, "prune_epoch": 1.0}
    rewound, kept = bench(**settings, rewind_epoch=epoch).subnetwork()[0], bench(**settings).subnetwork()[0]
    early = bench(**settings).network()
    train(early, bench().data()[0], RECIPE, 1, until=epoch)
    pairs = [prune.prunable_parameters(model) for model in (rewound, kept, early)]
    masks = masks_after(method="magnitude")
    for (ours, _), (late, _), (dense, _) in zip(*pairs, strict=True):
        assert torch.equal(ours.weight_orig, dense.weight)
        assert torch.equal(ours.weight_mask, late.weight_mask)
        assert not torch.equal(ours.weight_orig, late.weight_orig)
    assert any(not torch.equal(m.weight_mask, mask) for (m, _), mask in zip(pairs[0], masks, strict=True))


def test_levels_reach_the_density_and_only_remove() -> None:
    found = bench(method="magnitude", density=0.04, prune_epoch=1.0, rewind_epoch=0.0, levels=2).measure()
    assert found["kept"] == round(0.04 * found["total"])


def test_force_trains_and_is_not_snip_where_it_iterates() -> None:
    settings = {"density": 0.05, "examples": 10}
    found = bench(method="force", iterations=60, **settings).measure()
    assert found["kept"] == round(0.05 * found["total"])
    assert found["accuracy"] > 20  # of one epoch; ten classes
    once, often, snip = (
        bench(measure="masks", method=method, iterations=iterations, **settings).measure()
        for method, iterations in (("force", 1), ("force", 60), ("snip", 1))
    )
    assert once["layers"] == snip["layers"]
    assert often["layers"] != snip["layers"]
    assert often["layers"] == found["layers"]


def test_the_critical_compression_is_where_a_layer_empties() -> None:
    for method in ("random", "magnitude"):
        one = bench(measure="limit", method=method)
        found = one.measure()
        log10 = found["critical_log10_compression"]
        assert not one.prune(one.network(), 10**-log10).empty_layers
        assert one.prune(one.network(), 10 ** -(log10 + 0.0101)).empty_layers
    synflow = bench(measure="limit", method="synflow", iterations=100).measure()
    assert synflow["critical_log10_compression"] == synflow["max_log10_compression"]


def test_scores_of_saliency_are_conserved_by_units() -> None:
    """Theorem 1 of Tanaka et al.: without biases what comes into a hidden unit goes out of it."""
    found = bench(measure="scores", method="synflow").measure()
    assert len(found["into"]) > 100
    assert found["into"] == pytest.approx(found["out"], rel=1e-3)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ValueError, match=r"method: expected one of random, .* got 'none'"):
        bench(measure="masks", density=0.5).measure()
