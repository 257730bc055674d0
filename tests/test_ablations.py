"""The ablations: counts of layers, determinism, what stays of the model, and what happens on errors."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from tests.cases import METHODS, MODELS, MethodCase, ModelCase, prune_case
from tests.fingerprint import bits, fingerprint
from tests.masks import distinct, mask_of, places
from torch_synflow import ablations, prune

BATCH = (torch.rand(12, 5, generator=torch.Generator().manual_seed(3)), torch.arange(12) % 3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pruned(case: ModelCase, amount: float = 0.5) -> nn.Module:
    model = case.build()
    prune.global_iterative_unstructured(prune.prunable_parameters(model), prune.L1Unstructured, amount)
    return model


def up_to_date(model: nn.Module) -> bool:
    """Whether ``module.name`` is the product of what it is computed from, without a graph."""
    return all(
        torch.equal(getattr(m, n), getattr(m, f"{n}_orig") * getattr(m, f"{n}_mask")) and getattr(m, n).grad_fn is None
        for m, n in places(model)
        if hasattr(m, f"{n}_mask")
    )


ABLATIONS: dict[str, Callable[[nn.Module, torch.Generator], None]] = {
    "shuffle_masks": lambda model, g: ablations.shuffle_masks(model, generator=g),
    "reinitialise": lambda model, g: ablations.reinitialise(model, generator=g),
    "reinitialise_by_a_function": lambda model, g: ablations.reinitialise(
        model, init=nn.init.xavier_normal_, generator=g
    ),
    "initialise_with_unit_variance": lambda model, g: ablations.initialise_with_unit_variance(model, generator=g),
}


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
    """The product in ``module.weight`` is then part of a graph, which can not be copied."""
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
    """A weight in a module that can not initialise itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.weight = nn.Parameter(torch.ones(3, 3))


def failing(tensor: Tensor) -> None:
    if tensor.shape == (8, 3):
        raise KeyboardInterrupt
    tensor.zero_()


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


@pytest.mark.parametrize("case", [MODELS[0], MODELS[-1]], ids=lambda case: case.name)
def test_an_interrupt_leaves_the_model_as_it_was(case: ModelCase, monkeypatch: pytest.MonkeyPatch) -> None:
    model = pruned(case)
    values = {name: bits(tensor) for name, tensor in model.state_dict().items()}
    hooks = [list(module._forward_pre_hooks) for module in model.modules()]
    products = [id(getattr(*pair)) for pair in places(model)]
    calls = 0
    original = ablations.refresh

    def interrupted(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ablations, "refresh", interrupted)
    for ablation in ABLATIONS.values():
        calls = 0
        with pytest.raises(KeyboardInterrupt):
            ablation(model, generator())
        assert {name: bits(tensor) for name, tensor in model.state_dict().items()} == values
        assert [list(module._forward_pre_hooks) for module in model.modules()] == hooks
        assert [id(getattr(*pair)) for pair in places(model)] == products


def test_a_model_must_be_one_and_have_something_to_initialise() -> None:
    with pytest.raises(TypeError, match=r"model: expected an nn\.Module, got list"):
        ablations.shuffle_masks([])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="parameters: expected at least one"):
        ablations.reinitialise(nn.ReLU())


SCORED = [method for method in METHODS if method.scored]


@pytest.mark.parametrize("method", SCORED, ids=lambda method: method.name)
@pytest.mark.parametrize("case", [case for case in MODELS if not case.half], ids=lambda case: case.name)
def test_inverted_scores_are_the_negative(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    arguments = method.arguments(case)
    if case.random:
        model.eval()
    upright, inverted = (
        cls.scores(model, prune.prunable_parameters(model), **arguments)  # type: ignore[attr-defined]
        for cls in (method.method, ablations.inverted(method.method))
        if torch.manual_seed(0)
    )
    for pair, score in upright.items():
        torch.testing.assert_close(inverted[pair].as_subclass(Tensor), -score.as_subclass(Tensor))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_inverted_methods_go_through_the_loop(method: MethodCase) -> None:
    case = MODELS[0]
    model = case.build()
    inverted = MethodCase(ablations.inverted(method.method), method.arguments, method.scored)
    assert prune_case(inverted, case, model, 0.6).kept == 26
    assert inverted.method.__name__ == f"Inverted{method.name}"


@pytest.mark.parametrize("method", [m for m in METHODS if "Random" not in m.name], ids=lambda method: method.name)
def test_what_is_inverted_is_the_complement(method: MethodCase) -> None:
    """Of 64 entries the 20 that a method would prune first are those that the inverted one keeps."""
    case = MODELS[1]
    upright, inverted = case.build(), case.build()
    prune_case(method, case, upright, 20, iterations=1)
    cls = MethodCase(ablations.inverted(method.method), method.arguments, method.scored)
    prune_case(cls, case, inverted, 44, iterations=1)
    for one, other in zip(map(mask_of, distinct(upright)), map(mask_of, distinct(inverted)), strict=True):
        assert torch.equal(one, 1 - other)


class Signed(prune.SaliencyUnstructured):
    """Scores that are the weights, signs and zeros included."""

    needs = ()

    @classmethod
    def saliency(cls, network: Any) -> dict[str, Tensor]:
        return {name: weight.clone() for name, weight in network.weights.items()}


def test_inversion_is_defined_at_zero_and_for_signed_scores() -> None:
    model = nn.Linear(4, 1, bias=False)
    model.weight.data.copy_(torch.tensor([[3.0, 0.0, -2.0, 1.0]]))
    prune.global_iterative_unstructured(model, ablations.inverted(Signed), 2)
    assert model.weight_mask.tolist() == [[0.0, 1.0, 1.0, 0.0]]


def test_an_inverted_bound_class_goes_through_torchs_functions() -> None:
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    bound = ablations.inverted(prune.SNIP.bind(model, data=BATCH, loss_fn=F.cross_entropy))
    scores = prune.snip_scores(model, BATCH, F.cross_entropy)
    torch_prune.global_unstructured([(model[0], "weight"), (model[2], "weight")], bound, amount=10)
    gone = torch.cat([scores[m, "weight"][m.weight_mask == 0] for m in (model[0], model[2])])
    assert sorted(gone.tolist()) == sorted(torch.cat([s.flatten() for s in scores.values()]).tolist())[-10:]


def test_inverting_torchs_class_respects_earlier_masks() -> None:
    model = nn.Linear(6, 1, bias=False)
    model.weight.data.copy_(torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]]))
    torch_prune.l1_unstructured(model, "weight", amount=2)
    prune.global_iterative_unstructured([(model, "weight")], ablations.inverted(prune.L1Unstructured), 3)
    assert model.weight_mask.tolist() == [[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]]


def test_only_a_method_can_be_inverted() -> None:
    with pytest.raises(TypeError, match="pruning_method: expected a BasePruningMethod class, got 3"):
        ablations.inverted(3)  # type: ignore[arg-type]


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
