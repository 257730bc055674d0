"""What a test of the contract runs over, and what it does to a model first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from tests.cases import METHODS, MODELS, SCORED
from tests.masks import distinct

every_model = pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
every_scored_method = pytest.mark.parametrize("method", SCORED, ids=lambda method: method.name)
every_failure = pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])


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


def structure(model: nn.Module) -> dict[str, Any]:
    """The names of everything that a model holds and the types of its hooks, in order but for its parameters."""

    def kind(hook: object) -> object:
        return type(hook), [kind(method) for method in hook] if isinstance(hook, torch_prune.PruningContainer) else []

    return {
        path: (
            list(vars(module)),
            sorted(module._parameters),  # torch puts a pruned one last
            list(module._buffers),
            [kind(hook) for hook in module._forward_pre_hooks.values()],
            {name: len(value) for name, value in vars(module).items() if name.endswith("hooks")},
        )
        for path, module in model.named_modules()
    }
