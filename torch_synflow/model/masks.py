"""Masks on a model: attaching them, the only place that changes a model, and reading which parameters are pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import custom_from_mask

from torch_synflow._torch.fully_sharded import reshard
from torch_synflow.model.layout import is_sharded
from torch_synflow.model.listing import weights_of
from torch_synflow.model.parameters import (
    Entry,
    Pair,
    Parameters,
    held_parameters,
    resolve,
    unwrap,
)
from torch_synflow.model.sharded_masks import custom_from_sharded_mask
from torch_synflow.model.transaction import all_or_nothing
from torch_synflow.model.zeros import zeros_as_pruned
from torch_synflow.report import LayerReport, PruningReport


def attach(pair: Pair, prune: Callable[[], object], mask: Tensor | None = None) -> None:
    """Let ``prune``, a function of torch's, put its hook and mask on ``module.name``, atomically.

    For a parameter that was pruned before, torch makes a contiguous mask, and the product in ``module.name`` carries a
    gradient, so the module cannot be copied. Here the mask has the parameter's memory format (it is ``mask`` itself if
    given), and the product has no gradient. Torch also moves the parameter behind all others of the module. Here
    ``name_orig`` takes the place of ``name``, because the state of an optimiser and averages of models follow the order
    of ``model.parameters()``.
    """
    module, name = pair

    def work() -> None:
        with torch.inference_mode(False), torch.no_grad():
            order = list(module._parameters)
            prune()
            take_the_place(module, name, order)
            parameter = module._parameters[f"{name}_orig"]
            assert parameter is not None  # torch has just put it there
            whole = torch.empty_like(parameter, requires_grad=False) if mask is None else mask
            if mask is None:
                whole.copy_(getattr(module, f"{name}_mask"))
            module._buffers[f"{name}_mask"] = whole
            setattr(module, name, whole * parameter)

    all_or_nothing([module], work)


def take_the_place(module: nn.Module, old: str, order: list[str]) -> None:
    """Move the last parameter of ``module`` to the place of ``old`` in ``order``, if ``old`` is gone."""
    if old in order and old not in module._parameters:
        for later in order[order.index(old) + 1 :]:
            module._parameters[later] = module._parameters.pop(later)


def ones_where(kept: Tensor, parameter: nn.Parameter) -> Tensor:
    """A 0/1 mask with the dtype, device and memory format of ``parameter`` from a boolean one."""
    with torch.inference_mode(False):
        return torch.empty_like(parameter, requires_grad=False).copy_(kept)


def put_mask(pair: Pair, kept: Tensor, parameter: nn.Parameter) -> None:
    """Put a boolean mask on a parameter, as torch's ``custom_from_mask`` does."""
    module, name = pair
    mask = ones_where(kept, parameter)
    put = custom_from_sharded_mask if is_sharded(parameter) else custom_from_mask
    attach(pair, partial(put, module, name, mask), mask)


def overwriting(tensors: Iterable[Tensor], work: Callable[[], object]) -> None:
    """Let ``work`` write to the values of ``tensors``, and restore them if it fails or is interrupted.

    :func:`all_or_nothing` remembers tensors by reference, which does not protect against writing in place.
    """
    before = [(tensor, tensor.detach().clone()) for tensor in tensors]

    def undo() -> None:
        with torch.no_grad():
            for tensor, values in before:
                tensor.copy_(values)

    try:
        try:
            with torch.no_grad():
                work()
        except BaseException:
            undo()
            raise
    except BaseException:
        undo()  # again, because the interrupt may have hit this step
        raise


def refresh(pair: Pair, mask: Tensor | None = None) -> None:
    """Update ``module.name`` of a pruned parameter, under a new mask if one is given."""
    module, name = pair
    attach(pair, lambda: None, getattr(module, f"{name}_mask") if mask is None else mask)


def pruned_parameters(model: nn.Module) -> list[Pair]:
    """The ``(module, name)`` pairs that have a mask, in the order of ``model.modules()``."""
    return [
        (module, name)
        for module, name, _, _ in held_parameters(model)
        if f"{name}_mask" in module._buffers and f"{name}_orig" in module._parameters
    ]


def entries_of(model: nn.Module, parameters: Parameters | None = None) -> list[Entry]:
    """The checked entries of ``parameters``; by default all prunable weights and every other parameter with a mask.

    Zeros without a mask, as after ``remove``, count as pruned here.
    """
    return zeros_as_pruned(masked_entries_of(model, parameters))


def masked_entries_of(model: nn.Module, parameters: Parameters | None = None) -> list[Entry]:
    """The same, counting only masks, as pruning does."""
    model = unwrapped_module(model)
    if parameters is None:
        parameters = list(dict.fromkeys([*weights_of(model), *pruned_parameters(model)]))
    return resolve(parameters, model)


def unwrapped_module(model: object) -> nn.Module:
    """The result of :func:`unwrap` for a user's argument, checked to be a module; FSDP2 holds parts again."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    model = unwrap(model)
    reshard(model)
    return model


def report_of(entries: list[Entry]) -> PruningReport:
    """The report of the elements that the masks keep of each entry."""
    return PruningReport(tuple(LayerReport(e.label, e.alive, e.total, e.zeros) for e in entries))
