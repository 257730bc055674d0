"""New weights, by the layers' own initialisation or with unit variance."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from torch import nn

from benchmarks.faults.fingerprint import bits, fingerprint
from tests.ablations.pruned import generator, pruned, up_to_date
from tests.cases import BATCH, MODELS
from torch_synflow import ablations, prune


def test_new_weights_are_those_of_reset_parameters() -> None:
    model = nn.Linear(50, 40)
    torch_prune.l1_unstructured(model, "weight", amount=0.5)
    bias = bits(model.bias)
    ablations.reinitialise(model, generator=generator(4))
    seed = int(torch.randint(2**62, (), generator=generator(4)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = nn.Linear(50, 40)
    assert torch.equal(model.weight_orig, fresh.weight)
    assert bits(model.bias) == bias


def test_new_weights_of_an_unpruned_model() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = model[0].weight.detach().clone()
    norm = [bits(t) for t in model[1].state_dict().values()]
    ablations.reinitialise(model, generator=generator())
    assert not torch.equal(model[0].weight, before)
    assert not hasattr(model[0], "weight_mask")
    assert [bits(t) for t in model[1].state_dict().values()] == norm


def test_an_optimiser_goes_on_after_new_weights() -> None:
    model = pruned(MODELS[0])
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    ablations.reinitialise(model, generator=generator())
    before = model[0].weight_orig.detach().clone()
    F.cross_entropy(model(BATCH[0]), BATCH[1]).backward()
    optimizer.step()
    assert not torch.equal(model[0].weight_orig, before)


def test_after_a_forward_pass_with_gradients() -> None:
    """The product in ``module.weight`` is then part of a graph, which cannot be copied."""
    model = pruned(MODELS[0])
    model(BATCH[0]).sum().backward()
    ablations.reinitialise(model, generator=generator())
    assert up_to_date(model)


def test_unit_variance_makes_magnitude_pruning_blind_to_layers() -> None:
    model = nn.Sequential(nn.Linear(200, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 100))
    before = prune.global_iterative_unstructured(copy.deepcopy(model), prune.L1Unstructured, 0.8).densities
    ablations.initialise_with_unit_variance(model, generator=generator())
    weights = [layer.weight.detach() for layer in model if isinstance(layer, nn.Linear)]
    assert all(abs(float(w.var()) - 1) < 0.05 for w in weights)
    after = prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.8).densities
    assert max(before.values()) - min(before.values()) > 0.2
    assert max(after.values()) - min(after.values()) < 0.03


class Odd(nn.Module):
    """A weight in a module that cannot initialise itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.weight = nn.Parameter(torch.ones(3, 3))


def test_errors_of_initialising_name_the_parameter_and_change_nothing() -> None:
    model = Odd()
    before = fingerprint(model)
    with pytest.raises(ValueError, match=r"weight: expected a module with reset_parameters, got Odd; pass init="):
        ablations.reinitialise(model, [(model.first, "weight"), (model, "weight")])
    with pytest.raises(ValueError, match=r"first\.weight: expected finite initial values .* got NaN"):
        ablations.reinitialise(model, init=lambda tensor: tensor.fill_(float("nan")))
    with pytest.raises(TypeError, match="init: expected a function that changes a tensor in place, got 'kaiming'"):
        ablations.reinitialise(model, init="kaiming")  # type: ignore[arg-type]
    assert fingerprint(model) == before


def test_a_model_must_be_one_and_have_something_to_initialise() -> None:
    with pytest.raises(TypeError, match=r"model: expected an nn\.Module, got list"):
        ablations.shuffle_masks([])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="parameters: expected at least one"):
        ablations.reinitialise(nn.ReLU())


def test_american_spellings_are_the_same_functions() -> None:
    assert ablations.reinitialize is ablations.reinitialise
    assert ablations.initialize_with_unit_variance is ablations.initialise_with_unit_variance
