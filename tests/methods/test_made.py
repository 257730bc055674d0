"""Classes that are made at run time pickle as the call that made them, here and in other processes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from torch_synflow import ablations, prune


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


class Halved(ablations.inverted(prune.SynFlow)):  # type: ignore[misc]
    """A user's subclass of a made class."""

    iterations = 2


def test_a_bound_class_pickles_with_its_model() -> None:
    model = net()
    bound = prune.SynFlow.bind(model, example_inputs=torch.ones(1, 4), parameters=[(model[2], "weight")])
    again, same_model = pickle.loads(pickle.dumps((bound, model)))
    assert again.__name__ == bound.__name__
    assert issubclass(again, prune.SynFlowUnstructured)
    assert again._task.model is same_model
    assert again._bound_parameters == [(same_model[2], "weight")]
    for pair, other in zip(bound.scores().values(), again.scores().values(), strict=True):
        assert torch.equal(pair, other)
    assert copy.deepcopy(bound) is bound


@pytest.mark.parametrize("method", [prune.SynFlow, torch_prune.L1Unstructured])
def test_an_inverted_class_and_its_hook_pickle(method: Any) -> None:
    inverted = ablations.inverted(method)
    model = net()
    bound = inverted.bind(model, example_inputs=torch.ones(1, 4)) if method is prune.SynFlow else inverted
    bound.apply(model[0], "weight", 0.5)
    again = pickle.loads(pickle.dumps(model))
    (hook,) = again[0]._forward_pre_hooks.values()
    assert type(hook).__name__ == f"Inverted{method.__name__}"
    x = torch.rand(3, 4)
    assert torch.equal(again(x), model(x))
    assert torch.equal(again[0].weight_mask, model[0].weight_mask)


def test_a_subclass_of_a_made_class_is_found_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(Halved)) is Halved


def kept_by(bound: Any, model: nn.Module, queue: Any) -> None:
    params = [(model[0], "weight"), (model[2], "weight")]
    torch_prune.global_unstructured(params, bound, amount=0.5)
    queue.put([module.weight_mask.tolist() for module, _ in params])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_bound_class_works_in_a_spawned_process() -> None:
    """As Lightning's ``ddp_spawn`` sends it."""
    model = net()
    bound = prune.SynFlow.bind(model, example_inputs=torch.ones(1, 4))
    context = torch.multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=kept_by, args=(bound, model, queue))
    process.start()
    found = queue.get()
    process.join()
    assert process.exitcode == 0
    torch_prune.global_unstructured([(model[0], "weight"), (model[2], "weight")], bound, amount=0.5)
    expected: list[Tensor] = [model[0].weight_mask, model[2].weight_mask]
    assert [torch.equal(torch.tensor(mask), other) for mask, other in zip(found, expected, strict=True)] == [True] * 2
