"""Carrying an optimizer of a model over to the same model with fewer channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow.compact.slicing import Indices, taken


def carried(
    optimizer: torch.optim.Optimizer, model: nn.Module, small: nn.Module, indices: dict[str, Indices]
) -> Callable[[], None]:
    """Prepare the state of an optimizer for the smaller model; the result is a function that installs it.

    Args:
        optimizer: an optimizer of parameters of ``model``. Other parameters do not change.
        model: the model that was shrunk.
        small: the smaller model.
        indices: the kept indices of each parameter, by dense name.

    Raises:
        ValueError: if a state is neither a number nor a tensor of its parameter's shape.
    """
    after = dict(small.named_parameters(remove_duplicate=False))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [
        [after[names[id(one)]] if id(one) in names else one for one in group["params"]]
        for group in optimizer.param_groups
    ]
    states: dict[Any, Any] = {}
    for parameter, state in optimizer.state.items():
        name = names.get(id(parameter))
        if name is None:
            states[parameter] = state
            continue
        bare = name if name in indices else name.removesuffix("_orig")
        found = indices.get(bare, {})
        states[after[name]] = {key: _part(value, parameter, found, f"{bare}: {key}") for key, value in state.items()}

    def put() -> None:
        for group, parameters in zip(optimizer.param_groups, groups, strict=True):
            group["params"] = parameters
        optimizer.state.clear()
        optimizer.state.update(states)

    return put


def _part(value: Any, parameter: Tensor, indices: Indices, label: str) -> Any:
    if not isinstance(value, Tensor):
        if isinstance(value, (list, tuple, dict)) and indices:
            raise ValueError(f"{label}: expected optimizer state of tensors and numbers, got {type(value).__name__}")
        return value
    if value.shape == parameter.shape:
        return taken(value, indices)
    if value.numel() == 1 or not indices:
        return value.clone()
    raise ValueError(
        f"{label}: expected optimizer state of the parameter's shape {tuple(parameter.shape)} or a single number, got "
        f"{tuple(value.shape)}; shrink before the first step of this optimizer, and create it with the shrunk "
        "parameters"
    )


def at_rest(optimizer: torch.optim.Optimizer | None, parameter: Tensor) -> Tensor:
    """The elements without momentum, which an optimizer does not change if they are zero and get no gradient."""
    rest = torch.ones(parameter.shape, dtype=torch.bool)
    for value in ({} if optimizer is None else optimizer.state.get(parameter, {})).values():
        if isinstance(value, Tensor) and value.shape == parameter.shape and value.is_floating_point():
            rest &= value.detach().cpu() == 0
    return rest
