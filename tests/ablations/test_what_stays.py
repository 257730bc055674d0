"""What every ablation leaves alone: parameters, hooks, counts, and all on errors; a generator decides the rest."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch

from benchmarks.faults.fingerprint import bits, fingerprint
from tests.ablations.pruned import ABLATIONS, generator, pruned, up_to_date
from tests.cases import MODELS, ModelCase
from tests.masks import distinct, mask_of, places
from torch_synflow.ablations import new_weights, shuffling


@pytest.mark.parametrize("ablation", ABLATIONS.values(), ids=ABLATIONS)
@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
def test_parameters_hooks_and_counts_stay(case: ModelCase, ablation: Callable[..., None]) -> None:
    model = pruned(case)
    parameters = [id(parameter) for parameter in model.parameters()]
    hooks = [list(module._forward_pre_hooks) for module in model.modules()]
    names = [list(module._parameters) for module in model.modules()]
    counts = [int(mask_of(pair).sum()) for pair in distinct(model)]
    layouts = [(m.dtype, m.stride()) for m in map(mask_of, distinct(model))]
    ablation(model, generator())
    assert [id(parameter) for parameter in model.parameters()] == parameters
    assert [list(module._forward_pre_hooks) for module in model.modules()] == hooks
    assert [list(module._parameters) for module in model.modules()] == names
    assert [int(mask_of(pair).sum()) for pair in distinct(model)] == counts
    assert [(m.dtype, m.stride()) for m in map(mask_of, distinct(model))] == layouts
    assert up_to_date(model)
    case.outputs(case.runnable(copy.deepcopy(model)))
    pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("ablation", ABLATIONS.values(), ids=ABLATIONS)
def test_a_generator_decides_all_and_torchs_stays(ablation: Callable[..., None]) -> None:
    case = MODELS[7]
    first, second, third = (pruned(case) for _ in range(3))
    state = torch.get_rng_state()
    ablation(first, generator(1))
    ablation(second, generator(1))
    ablation(third, generator(2))
    assert torch.equal(torch.get_rng_state(), state)
    tensors = [[bits(t) for t in model.state_dict().values()] for model in (first, second, third)]
    assert tensors[0] == tensors[1]
    assert tensors[0] != tensors[2]


@pytest.mark.parametrize("ablation", ABLATIONS.values(), ids=ABLATIONS)
def test_without_a_generator_torchs_global_one_draws(ablation: Callable[..., None]) -> None:
    first, second = pruned(MODELS[0]), pruned(MODELS[0])
    for model in (first, second):
        torch.manual_seed(5)
        ablation(model, None)
    assert [bits(t) for t in first.state_dict().values()] == [bits(t) for t in second.state_dict().values()]


@pytest.mark.parametrize("ablation", ABLATIONS.values(), ids=ABLATIONS)
def test_a_generator_must_be_one(ablation: Callable[..., None]) -> None:
    model = pruned(MODELS[0])
    before = fingerprint(model)
    with pytest.raises(TypeError, match=r"generator: expected a torch\.Generator, got 3"):
        ablation(model, 3)
    assert fingerprint(model) == before


@pytest.mark.parametrize("case", [MODELS[0], MODELS[-1]], ids=lambda case: case.name)
def test_an_interrupt_leaves_the_model_as_it_was(case: ModelCase, monkeypatch: pytest.MonkeyPatch) -> None:
    model = pruned(case)
    values = {name: bits(tensor) for name, tensor in model.state_dict().items()}
    hooks = [list(module._forward_pre_hooks) for module in model.modules()]
    products = [id(getattr(*pair)) for pair in places(model)]
    calls = 0
    original = shuffling.refresh

    def interrupted(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        original(*arguments)  # type: ignore[arg-type]

    for module in (shuffling, new_weights):
        monkeypatch.setattr(module, "refresh", interrupted)
    for ablation in ABLATIONS.values():
        calls = 0
        with pytest.raises(KeyboardInterrupt):
            ablation(model, generator())
        assert {name: bits(tensor) for name, tensor in model.state_dict().items()} == values
        assert [list(module._forward_pre_hooks) for module in model.modules()] == hooks
        assert [id(getattr(*pair)) for pair in places(model)] == products


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("ablation", ABLATIONS.values(), ids=ABLATIONS)
def test_generators_on_another_device(ablation: Callable[..., None]) -> None:
    """What is drawn is drawn where the generator is, and moved; masks do not depend on where the model is."""
    on_cpu, on_gpu, by_gpu = pruned(MODELS[7]), pruned(MODELS[7]).cuda(), pruned(MODELS[7])
    ablation(on_cpu, generator(1))
    ablation(on_gpu, generator(1))
    ablation(by_gpu, torch.Generator("cuda").manual_seed(1))
    masks = [[bits(mask_of(pair).cpu()) for pair in distinct(model)] for model in (on_cpu, on_gpu)]
    assert masks[0] == masks[1]
    assert all(parameter.is_cuda for parameter in on_gpu.parameters())
    assert not any(parameter.is_cuda for parameter in by_gpu.parameters())
