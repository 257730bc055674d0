"""What pruning leaves is what torch's leaves: it copies, saves, trains on and can be made permanent."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from benchmarks.faults.fingerprint import bits
from tests.cases import MethodCase, ModelCase, prune_case
from tests.contract.runs import burden, equal, every_method, every_model, structure
from tests.masks import dense, distinct, mask_of, masks_of, places


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
    assert sorted(ours.state_dict()) == sorted(theirs.state_dict())
    for module, name in places(ours):
        assert module._parameters[f"{name}_orig"] is before[id(module)]
        assert bits(before[id(module)]) == values[id(module)]
        assert sum(isinstance(hook, torch_prune.BasePruningMethod) for hook in module._forward_pre_hooks.values()) == 1
        assert torch.equal(getattr(module, name), dense((module, name)) * mask_of((module, name)))
        assert type(getattr(module, name)) is Tensor
    assert torch_prune.is_pruned(ours)


@every_model
@every_method
def test_parameters_keep_their_places(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    before = [(name.removesuffix("_orig"), id(parameter)) for name, parameter in model.named_parameters()]
    prune_case(method, case, model, 0.5)
    after = [(name.removesuffix("_orig"), id(parameter)) for name, parameter in model.named_parameters()]
    assert after == before


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
