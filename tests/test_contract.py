"""What must hold for every pruning method on every model of the table in ``cases.py``."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from tests.cases import METHODS, MODELS, SCORED, MethodCase, ModelCase, prune_case, score_case
from tests.fingerprint import bits, fingerprint
from tests.masks import Pair, alive_in, dense, distinct, mask_of, masks_of, places
from torch_synflow import prune

every_model = pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
every_scored_method = pytest.mark.parametrize("method", SCORED, ids=lambda method: method.name)
every_failure = pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])

pytestmark = pytest.mark.usefixtures("_seeded")

AMOUNTS = [0, 7, 0.37, 1.0]


@pytest.fixture
def _seeded() -> None:
    torch.manual_seed(3)


def raiser(failure: type[BaseException], call: int) -> Callable[..., None]:
    """A function that raises ``failure`` at its ``call``-th call and does nothing before."""
    calls = 0

    def function(*arguments: object, **keywords: object) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise failure("on purpose")

    return function


def equal(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def removed(amount: float, alive: int) -> int:
    return amount if isinstance(amount, int) else round(amount * alive)


def burden(model: nn.Module) -> None:
    """Give ``model`` what a user's model can have: gradients, hooks of all kinds, attributes, training flags."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.rand_like(parameter)
            parameter.register_hook(lambda gradient: gradient)
    layer = distinct(model)[0][0]
    layer.register_forward_pre_hook(lambda module, inputs: None)
    layer.register_forward_hook(lambda module, inputs, output: None)
    layer.register_full_backward_hook(lambda module, grad_inputs, grad_outputs: None)
    layer.register_full_backward_pre_hook(lambda module, grad_outputs: None)
    layer.register_state_dict_pre_hook(lambda module, prefix, keep_vars: None)
    layer.cache = torch.rand(2)
    layer.note = {"calls": [1, 2]}
    layer.train(not layer.training)


# --- the table ----------------------------------------------------------------------------------------------


def test_every_exported_scored_method_is_in_the_table() -> None:
    exported = {
        value
        for value in (getattr(prune, name) for name in dir(prune))
        if isinstance(value, type)
        and issubclass(value, prune.SaliencyUnstructured)
        and value is not prune.SaliencyUnstructured
    }
    assert {prune.SynFlow, prune.SNIP, prune.GraSP} <= exported
    assert exported == {method.method for method in SCORED}


@every_model
def test_models_of_the_table_are_the_same_at_each_build(case: ModelCase) -> None:
    first, second = case.build().state_dict(), case.build().state_dict()
    assert list(first) == list(second)
    assert all(bits(first[name]) == bits(second[name]) for name in first)


# --- counts -------------------------------------------------------------------------------------------------


@every_model
@every_method
def test_keeps_exactly_the_count(method: MethodCase, case: ModelCase) -> None:
    for amount in AMOUNTS:
        model = case.build()
        alive = alive_in(model)
        report = prune_case(method, case, model, amount)
        assert alive_in(model) == report.kept == alive - removed(amount, alive), f"amount {amount}"


@every_model
@every_method
def test_report_says_what_the_masks_say(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    report = prune_case(method, case, model, 0.6)
    inside = model.module if isinstance(model, nn.DataParallel) else model
    paths = {id(module): path for path, module in inside.named_modules()}
    pairs = distinct(model)
    assert [layer.name for layer in report.layers] == [f"{paths[id(module)]}.{name}" for module, name in pairs]
    assert [layer.kept for layer in report.layers] == [int(mask.sum(dtype=torch.int64)) for mask in masks_of(model)]
    assert [layer.total for layer in report.layers] == [dense(pair).numel() for pair in pairs]


@every_model
@every_method
def test_callback_is_told_each_step_and_counts_never_rise(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    alive = alive_in(model)
    steps: list[int] = []
    reports: list[prune.PruningReport] = []

    def callback(step: int, report: prune.PruningReport) -> None:
        steps.append(step)
        reports.append(report)

    final = prune_case(method, case, model, 0.8, iterations=4, callback=callback)
    density = (alive - round(0.8 * alive)) / alive
    assert steps == [1, 2, 3, 4]
    assert [report.kept for report in reports] == [round(density ** (k / 4) * alive) for k in steps]
    assert reports[-1] == final
    for before, after in pairwise(reports):
        assert method.returning or all(a.kept <= b.kept for a, b in zip(after.layers, before.layers, strict=True))


# --- masks --------------------------------------------------------------------------------------------------


@every_model
@every_method
def test_masks_are_zeros_and_ones_in_the_form_of_the_parameter(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    for _ in range(2):  # the second time there are masks already
        prune_case(method, case, model, 0.4)
        for pair in places(model):
            mask, parameter = mask_of(pair), dense(pair)
            assert set(mask.unique().tolist()) <= {0.0, 1.0}
            assert mask.shape == parameter.shape
            assert mask.dtype == parameter.dtype
            assert mask.device == parameter.device
            assert mask.stride() == parameter.stride()
            assert not mask.requires_grad
            assert mask.is_leaf
            assert mask.data_ptr() != parameter.data_ptr()


@every_model
@every_method
def test_masks_are_nested_over_repeated_pruning(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    before = masks_of(model)
    for amount in (0.3, 11, 0.5):
        alive = alive_in(model)
        prune_case(method, case, model, amount)
        after = masks_of(model)
        assert all(bool((new <= old).all()) for new, old in zip(after, before, strict=True))
        assert alive_in(model) == alive - removed(amount, alive)
        before = after


@every_model
@pytest.mark.parametrize(
    "method", [method for method in METHODS if not method.returning], ids=lambda method: method.name
)
def test_iterating_is_pruning_again_and_again(method: MethodCase, case: ModelCase) -> None:
    """Each iteration scores what the one before has left, as if that had been attached to the model."""
    counts: list[int] = []
    once = case.build()
    prune_case(method, case, once, 0.8, callback=lambda step, report: counts.append(report.kept))
    torch.manual_seed(3)
    again = case.build()
    for count in counts:
        prune_case(method, case, again, alive_in(again) - count, iterations=1)
    assert equal(masks_of(once), masks_of(again))


@every_model
@every_scored_method
def test_highest_scores_are_kept_and_ties_go_to_the_lower_index(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    pairs = distinct(model)
    alive = [mask_of(pair).reshape(-1).tolist() for pair in pairs]
    scores = score_case(method, case, model)
    ranked = [
        (-score, layer, index)
        for layer, pair in enumerate(pairs)
        for index, score in enumerate(scores[pair].reshape(-1).tolist())
        if alive[layer][index]
    ]
    keep = len(ranked) - round(0.55 * len(ranked))
    expected = {(layer, index) for _, layer, index in sorted(ranked)[:keep]}
    torch.manual_seed(3)
    prune_case(method, case, model, 0.55, iterations=1)
    kept = {
        (layer, index)
        for layer, pair in enumerate(pairs)
        for index, value in enumerate(mask_of(pair).reshape(-1).tolist())
        if value
    }
    assert kept == expected


@every_model
@every_method
def test_outputs_are_those_of_a_dense_copy_with_masked_weights(method: MethodCase, case: ModelCase) -> None:
    model, copied = case.build(), case.build()
    prune_case(method, case, model, 0.5)
    with torch.no_grad():
        for pair, source in zip(places(copied), places(model), strict=True):
            dense(pair).copy_(dense(source) * mask_of(source))
    model, copied = case.runnable(model).eval(), case.runnable(copied).eval()
    torch.testing.assert_close(case.outputs(model), case.outputs(copied), rtol=0, atol=0)


@every_method
def test_one_tensor_gets_one_mask_in_all_its_places(method: MethodCase) -> None:
    for name, count in (("tied_layers", 2), ("tied_embedding", 2)):
        (case,) = [case for case in MODELS if case.name == name]
        model = case.build()
        prune_case(method, case, model, 0.7)
        shared = [
            pair for pair in places(model) if sum(dense(pair) is dense(other) for other in places(model)) == count
        ]
        assert len(shared) == count
        assert torch.equal(mask_of(shared[0]), mask_of(shared[1]))
        assert not bool(mask_of(shared[0]).all())


@every_method
def test_a_pair_that_is_listed_twice_counts_once(method: MethodCase) -> None:
    case = MODELS[0]
    once, twice = case.build(), case.build()
    expected = prune_case(method, case, once, 0.5)
    torch.manual_seed(3)
    pairs = list(prune.prunable_parameters(twice))
    report = prune.global_iterative_unstructured(
        [*pairs, *pairs], method.method, 0.5, model=twice, iterations=3, **method.arguments(case)
    )
    assert report == expected
    assert equal(masks_of(once), masks_of(twice))
    assert structure(once) == structure(twice)


# --- scores only read ---------------------------------------------------------------------------------------


@every_model
@every_scored_method
def test_scoring_leaves_no_trace_on_the_model(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    burden(model)
    before = fingerprint(model)
    scores = score_case(method, case, model)
    after = fingerprint(model)
    if case.random and method.method.training:
        # drawing is what dropout does; all else is as it was
        del before["random state"], after["random state"]
    assert after == before
    assert set(scores) == set(places(model))
    for pair, score in scores.items():
        assert score.shape == dense(pair).shape
        assert score.dtype in (torch.float32, torch.float64)
        assert not score.requires_grad
        assert bool(torch.isfinite(score).all())


@every_model
@every_scored_method
def test_scores_are_of_dense_weight_times_mask_whatever_the_module_holds(method: MethodCase, case: ModelCase) -> None:
    """An optimiser moves ``name_orig``; ``module.name`` is stale until the next forward pass."""
    model = case.build()
    prune_case(method, case, model, 0.3)
    with torch.no_grad():
        for pair in distinct(model):
            dense(pair).mul_(1.5).add_(0.01)
    torch.manual_seed(3)
    scores = score_case(method, case, model)
    for masked in (True,) if method.masks_matter else (True, False):
        copied = case.build()
        with torch.no_grad():
            for pair, source in zip(places(copied), places(model), strict=True):
                dense(pair).copy_(dense(source) * mask_of(source))
                if masked:
                    torch_prune.custom_from_mask(*pair, mask_of(source))
        torch.manual_seed(3)
        expected = score_case(method, case, copied)
        for pair, other in zip(distinct(model), distinct(copied), strict=True):
            assert torch.equal(scores[pair], expected[other])
            assert not bool(scores[pair][mask_of(pair) == 0].any())


@every_scored_method
def test_scores_are_in_float32_or_wider_whatever_the_model_is(method: MethodCase) -> None:
    for name, at_least in (("mlp_in_bfloat16", 32), ("conv_in_float16", 32), ("mlp_in_float64", 64)):
        (case,) = [case for case in MODELS if case.name == name]
        scores = score_case(method, case, case.build())
        assert all(torch.finfo(score.dtype).bits >= at_least for score in scores.values())


# --- all or nothing -----------------------------------------------------------------------------------------


def assert_rolls_back(
    method: MethodCase, case: ModelCase, model: nn.Module, failure: type[BaseException], **arguments: Any
) -> None:
    """``model`` is bit for bit as it was when pruning fails with ``failure``."""
    before = fingerprint(model)
    with pytest.raises(failure, match="on purpose"):
        prune_case(method, case, model, 0.6, **arguments)
    assert fingerprint(model) == before


@every_model
@every_method
@every_failure
def test_failing_callback_leaves_the_model_as_it_was(
    method: MethodCase, case: ModelCase, failure: type[BaseException]
) -> None:
    model = case.build()
    burden(model)
    assert_rolls_back(method, case, model, failure, callback=raiser(failure, 2))
    fresh = case.build()
    torch.manual_seed(3)
    prune_case(method, case, model, 0.6)
    torch.manual_seed(3)
    prune_case(method, case, fresh, 0.6)
    assert equal(masks_of(model), masks_of(fresh))


@every_model
@every_method
def test_failing_last_callback_leaves_the_model_as_it_was(method: MethodCase, case: ModelCase) -> None:
    assert_rolls_back(method, case, case.build(), RuntimeError, callback=raiser(RuntimeError, 3))


@every_model
@every_scored_method
@every_failure
def test_failing_forward_leaves_the_model_as_it_was(
    method: MethodCase, case: ModelCase, failure: type[BaseException]
) -> None:
    model = case.build()
    burden(model)
    first = method.method is prune.SynFlow  # which runs the forward pass itself only at first
    distinct(model)[-1][0].register_forward_hook(raiser(failure, 1 if first else 3))
    assert_rolls_back(method, case, model, failure)


@every_model
@pytest.mark.parametrize(
    "method", [case for case in SCORED if "loss_fn" in case.method.needs], ids=lambda method: method.name
)
@every_failure
def test_failing_loss_leaves_the_model_as_it_was(
    method: MethodCase, case: ModelCase, failure: type[BaseException]
) -> None:
    fail = raiser(failure, 3)

    def loss_fn(outputs: Any, targets: Any) -> Tensor:
        fail()
        return case.loss_fn(outputs, targets)

    model = case.build()
    burden(model)
    assert_rolls_back(method, case, model, failure, loss_fn=loss_fn)


class FailingLoader:
    """Batches that can be read twice; the third time the second batch is missing."""

    def __init__(self, batch: tuple[Any, Any], failure: type[BaseException]) -> None:
        self.batch = batch
        self.fail = raiser(failure, 3)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        yield self.batch
        self.fail()
        yield self.batch


@pytest.mark.parametrize(
    "method", [case for case in SCORED if "data" in case.method.needs], ids=lambda method: method.name
)
@every_failure
def test_failing_data_leave_the_model_as_it_was(method: MethodCase, failure: type[BaseException]) -> None:
    (case,) = [case for case in MODELS if case.name == "residual"]
    model = case.build()
    burden(model)
    assert_rolls_back(method, case, model, failure, data=FailingLoader(case.batch(), failure))


class Stubborn(nn.Linear):
    """A layer on which no hook can be put: what fails after other layers have got their masks."""

    failure: type[BaseException] | None = None

    def register_forward_pre_hook(self, *arguments: Any, **keywords: Any) -> Any:
        if self.failure is not None:
            raise self.failure("on purpose")
        return super().register_forward_pre_hook(*arguments, **keywords)


@pytest.mark.parametrize("earlier", [0, 1, 2, 3], ids=lambda earlier: f"pruned_{earlier}_times_before")
@every_method
@every_failure
def test_failing_attachment_leaves_the_model_as_it_was(
    method: MethodCase, failure: type[BaseException], earlier: int
) -> None:
    case = MODELS[0]
    stubborn = Stubborn(8, 3)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), stubborn)
    for _ in range(earlier):
        prune_case(method, case, model, 0.1)
    burden(model)
    stubborn.failure = failure
    before = fingerprint(model)
    # torch's own undoing of an Exception in an unpruned layer fails with a KeyError
    with pytest.raises((failure, KeyError)) as raised:
        prune_case(method, case, model, 0.6)
    assert "on purpose" in str(raised.value) or "on purpose" in str(raised.value.__context__)
    assert fingerprint(model) == before


# --- what pruning leaves ------------------------------------------------------------------------------------


def structure(model: nn.Module) -> dict[str, Any]:
    """The names of everything that a model holds and the types of its hooks, in order."""

    def kind(hook: object) -> object:
        return type(hook), [kind(method) for method in hook] if isinstance(hook, torch_prune.PruningContainer) else []

    return {
        path: (
            list(vars(module)),
            list(module._parameters),
            list(module._buffers),
            [kind(hook) for hook in module._forward_pre_hooks.values()],
            {name: len(value) for name, value in vars(module).items() if name.endswith("hooks")},
        )
        for path, module in model.named_modules()
    }


@every_model
@every_method
def test_what_is_left_is_what_torchs_global_unstructured_leaves(method: MethodCase, case: ModelCase) -> None:
    ours, theirs = case.build(), case.build()
    before = {id(module): dense((module, name)) for module, name in places(ours)}
    values = {key: bits(parameter) for key, parameter in before.items()}
    prune_case(method, case, ours, 0.5)
    for parameter in theirs.parameters():  # torch's function takes contiguous ones only
        parameter.data = parameter.data.contiguous()
    torch_prune.global_unstructured(places(theirs), torch_prune.L1Unstructured, amount=0.5)
    assert structure(ours) == structure(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for module, name in places(ours):
        assert module._parameters[f"{name}_orig"] is before[id(module)]
        assert bits(before[id(module)]) == values[id(module)]
        assert sum(isinstance(hook, torch_prune.BasePruningMethod) for hook in module._forward_pre_hooks.values()) == 1
        assert torch.equal(getattr(module, name), dense((module, name)) * mask_of((module, name)))
        assert type(getattr(module, name)) is Tensor
    assert torch_prune.is_pruned(ours)


@every_model
@every_method
def test_all_else_is_as_it_was(method: MethodCase, case: ModelCase) -> None:
    """Gradients, flags, BatchNorm's buffers, attributes, other parameters: pruning changes none of them."""

    def contents(model: nn.Module) -> dict[str, Any]:
        return {
            name.removesuffix("_orig"): (
                id(value),
                bits(value),
                value._version,
                value.requires_grad,
                id(value.grad),
                None if value.grad is None else bits(value.grad),
            )
            for name, value in model.state_dict(keep_vars=True).items()
            if not name.endswith("weight_mask")
        }

    model = case.build()
    burden(model)
    layer = distinct(model)[0][0]
    before, cache = contents(model), bits(layer.cache)
    flags = [module.training for module in model.modules()]
    hooks = [len(value) for name, value in sorted(vars(layer).items()) if name.endswith("hooks")]
    pruned = hasattr(layer, "weight_mask")
    prune_case(method, case, model, 0.5)
    assert contents(model) == before
    assert [module.training for module in model.modules()] == flags
    assert layer.note == {"calls": [1, 2]}
    assert bits(layer.cache) == cache
    after = [len(value) for name, value in sorted(vars(layer).items()) if name.endswith("hooks")]
    assert sum(after) - sum(hooks) == (not pruned)


@every_model
@every_method
def test_deepcopy_and_pickle_work_directly_after(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    prune_case(method, case, model, 0.5)
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(stream, weights_only=False)]
    expected = case.outputs(case.runnable(model).eval())
    for other in copies:
        assert equal(masks_of(other), masks_of(model))
        assert structure(other) == structure(model)
        assert not {id(p) for p in other.parameters()} & {id(p) for p in model.parameters()}
        torch.testing.assert_close(case.outputs(case.runnable(other).eval()), expected, rtol=0, atol=0)


@every_model
@every_method
def test_state_dict_fits_a_model_that_was_pruned_likewise(method: MethodCase, case: ModelCase) -> None:
    model, other = case.build(), case.build()
    prune_case(method, case, model, 0.5)
    prune_case(method, case, other, 0.2)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    assert not equal(masks_of(model), masks_of(other))
    other.load_state_dict(model.state_dict(), strict=True)
    assert equal(masks_of(model), masks_of(other))
    model, other = case.runnable(model).eval(), case.runnable(other).eval()
    torch.testing.assert_close(case.outputs(model), case.outputs(other), rtol=0, atol=0)


@every_model
@every_method
def test_torchs_remove_makes_the_pruning_permanent(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    prune_case(method, case, model, 0.5)
    expected = {pair: (dense(pair) * mask_of(pair)).detach() for pair in places(model)}
    for module, name in places(model):
        torch_prune.remove(module, name)
    assert not torch_prune.is_pruned(model)
    for module, name in places(model):
        assert isinstance(module._parameters[name], nn.Parameter)
        assert torch.equal(getattr(module, name), expected[module, name])
        assert f"{name}_mask" not in module._buffers


@every_model
@every_method
def test_an_optimiser_made_before_goes_on_training_what_is_kept(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    prune_case(method, case, model, 0.03)  # so few that no method cuts the network in two
    model = case.runnable(model).train()
    before = {pair: dense(pair).detach().clone() for pair in distinct(model)}
    for _ in range(2):
        optimiser.zero_grad()
        case.loss_fn(case.outputs(model), case.batch()[1]).backward()
        optimiser.step()
    case.outputs(model)
    moved = 0
    for pair, old in before.items():
        pruned = mask_of(pair) == 0
        assert torch.equal(dense(pair)[pruned], old[pruned])
        assert not bool(getattr(*pair)[pruned].any())
        moved += int((dense(pair) != old).sum())
        if not dense(pair).requires_grad:
            assert torch.equal(dense(pair), old)
    assert moved > 0


# --- how it is called ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "context",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", dtype=torch.bfloat16)],
    ids=["no_grad", "inference_mode", "autocast"],
)
@every_model
@every_method
def test_masks_are_the_same_inside_torchs_contexts(
    method: MethodCase, case: ModelCase, context: Callable[[], Any]
) -> None:
    outside, inside = case.build(), case.build()
    prune_case(method, case, outside, 0.6)
    torch.manual_seed(3)
    with context():
        prune_case(method, case, inside, 0.6)
    assert equal(masks_of(outside), masks_of(inside))
    assert not any(tensor.is_inference() for tensor in inside.state_dict(keep_vars=True).values())
    inside = case.runnable(inside).train()
    case.loss_fn(case.outputs(inside), case.batch()[1]).backward()
    trained = [dense(pair) for pair in distinct(inside) if dense(pair).requires_grad]
    assert trained
    assert all(parameter.grad is not None for parameter in trained)


@every_model
@every_method
def test_parameters_may_be_a_list_a_generator_or_the_model(method: MethodCase, case: ModelCase) -> None:
    remembering = case.build()
    expected = prune_case(method, case, remembering, 0.6)
    forms: list[Callable[[nn.Module], Any]] = [
        lambda model: list(prune.prunable_parameters(model)),
        lambda model: (pair for pair in prune.prunable_parameters(model)),
        lambda model: tuple([module, name] for module, name in prune.prunable_parameters(model)),
        lambda model: model,
    ]
    for form in forms:
        model = case.build()
        torch.manual_seed(3)
        report = prune.global_iterative_unstructured(
            form(model), method.method, 0.6, model=model, iterations=3, **method.arguments(case)
        )
        assert report == expected
        assert equal(masks_of(model), masks_of(remembering))


@pytest.mark.parametrize("method", [case for case in METHODS if not case.scored], ids=lambda method: method.name)
def test_unscored_methods_need_no_model(method: MethodCase) -> None:
    case = MODELS[0]
    known, unknown = case.build(), case.build()
    prune_case(method, case, known, 0.6)
    torch.manual_seed(3)
    report = prune.global_iterative_unstructured(
        list(prune.prunable_parameters(unknown)), method.method, 0.6, iterations=3
    )
    assert equal(masks_of(known), masks_of(unknown))
    assert [layer.name for layer in report.layers] == ["parameters[0] (Linear.weight)", "parameters[1] (Linear.weight)"]


@every_model
@every_method
def test_only_what_is_listed_is_pruned(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    listed, left = distinct(model)[0], distinct(model)[1:]
    before = [mask_of(pair).clone() for pair in left]
    alive = int(mask_of(listed).sum(dtype=torch.int64))
    pairs: list[Pair] = [listed]
    report = prune.global_iterative_unstructured(
        pairs, method.method, 0.5, model=model, iterations=2, **method.arguments(case)
    )
    assert report.kept == alive - round(0.5 * alive)
    assert len(report.layers) == 1
    assert equal([mask_of(pair) for pair in left], before)


@every_model
@pytest.mark.parametrize(
    # GraSP's Hessian is by definition that of the listed parameters
    "method",
    [method for method in SCORED if not issubclass(method.method, prune.GraSP)],
    ids=lambda method: method.name,
)
def test_scores_do_not_depend_on_which_parameters_are_asked_for(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    torch.manual_seed(3)
    everything = score_case(method, case, model)
    for pair in distinct(model):
        torch.manual_seed(3)
        alone = method.method.scores(model, [pair], **method.arguments(case))  # type: ignore[attr-defined]
        assert set(alone) == {other for other in places(model) if dense(other) is dense(pair)}
        torch.testing.assert_close(alone[pair].double(), everything[pair].double(), rtol=1e-5, atol=1e-9)
