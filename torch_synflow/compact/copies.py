"""Copies of a pruned model: with its masks, and with its dense parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow._torch.pytree import tree_map
from torch_synflow.model.masks import pruned_parameters
from torch_synflow.model.parameters import ExampleInputs, held_parameters
from torch_synflow.scoring.inputs import as_dicts, called_with


def copied(model: nn.Module) -> nn.Module:
    """A deep copy, which also works for a model whose pruned weights carry the gradient graph of the last step."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return copy.deepcopy(model, memo)


def dense(model: nn.Module) -> dict[int, Tensor]:
    """Remove the masks of a copy, and restore the names of the dense parameters.

    Returns:
        The masks by the identity of the parameter. A tied parameter keeps an element if any of its places keeps it.
    """
    masks: dict[int, Tensor] = {}
    whole = {id(p) for module, name, _, p in held_parameters(model) if f"{name}_mask" not in module._buffers}
    for module, name in pruned_parameters(model):
        parameter = module._parameters[f"{name}_orig"]
        mask = module._buffers.pop(f"{name}_mask")
        assert parameter is not None
        assert mask is not None
        kept = mask != 0
        if id(parameter) not in whole:
            masks[id(parameter)] = kept | masks[id(parameter)] if id(parameter) in masks else kept
        module.__dict__.pop(name, None)
        held = {key.removesuffix("_orig") if key == f"{name}_orig" else key: p for key, p in module._parameters.items()}
        module._parameters.clear()
        module._parameters.update(held)
        for key, hook in list(module._forward_pre_hooks.items()):
            if isinstance(hook, BasePruningMethod):
                del module._forward_pre_hooks[key]
        if isinstance(module, nn.RNNBase):
            setattr(module, name, parameter)  # which puts it among the weights that the layer passes on
    return masks


def own_random_numbers() -> AbstractContextManager[None]:
    """Preserve torch's random states on all devices in use."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    return torch.random.fork_rng(devices)


def cloned(inputs: ExampleInputs) -> ExampleInputs:
    """Copies of the inputs of a model, which may write to them."""
    found: ExampleInputs = tree_map(lambda leaf: leaf.detach().clone() if isinstance(leaf, Tensor) else leaf, inputs)
    return found


def run(model: nn.Module, inputs: ExampleInputs) -> Any:
    """The outputs of a model for inputs in any form that scoring accepts."""
    args, kwargs = called_with(model, as_dicts(inputs))
    return model(*args, **kwargs)


def tensors_of(value: Any) -> list[Tensor]:
    """All tensors of a model's outputs: in tuples, lists, mappings and objects."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    elif not isinstance(value, (tuple, list)):
        value = list(vars(value).values()) if hasattr(value, "__dict__") else []
    return [tensor for part in value for tensor in tensors_of(part)]


def batch_of_two(inputs: Any) -> Any:
    """The inputs, repeated if the batch has one example, because BatchNorm needs two in training mode."""
    if isinstance(inputs, Tensor):
        return torch.cat([inputs, inputs]) if inputs.dim() and len(inputs) == 1 else inputs
    if isinstance(inputs, Mapping):
        return {name: batch_of_two(value) for name, value in inputs.items()}
    return type(inputs)(map(batch_of_two, inputs)) if type(inputs) in (tuple, list) else inputs
