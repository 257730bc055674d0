"""Snapshots of a training run: parameters, buffers and the state of the optimiser."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow.model.masks import overwriting, pruned_parameters, refresh, unwrapped_module
from torch_synflow.model.parameters import held_parameters, unwrap
from torch_synflow.model.transaction import all_or_nothing


@dataclass(frozen=True)
class TrainingSnapshot:
    """The state of training at a step, made by :func:`take_snapshot`.

    Attributes:
        values: a copy of each parameter and buffer by its qualified name, without ``_orig``; no masks.
        optimizer: the ``state_dict`` of the optimiser, or ``None``.
    """

    values: dict[str, Tensor]
    optimizer: dict[str, Any] | None = None

    def __str__(self) -> str:
        """The size of the snapshot."""
        entries = sum(value.numel() for value in self.values.values())
        optimizer = "no optimiser" if self.optimizer is None else "an optimiser"
        return f"snapshot of {len(self.values)} tensors with {entries:,} elements and {optimizer}"


def take_snapshot(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> TrainingSnapshot:
    """Copy the parameters and buffers of a model, and the state of its optimiser.

    Args:
        model: the model, pruned or not. Snapshots do not contain masks.
        optimizer: its optimiser, for momentum, step counts and learning rates.

    Returns:
        A snapshot for :func:`rewind`, which also works after the model has been pruned.

    Raises:
        TypeError: if ``model`` is not a module.

    Example:
        >>> from torch_synflow import rewinding
        >>> print(rewinding.take_snapshot(nn.Linear(4, 2)))
        snapshot of 2 tensors with 10 elements and no optimiser
    """
    values = {name: tensor.detach().clone() for name, tensor in _tensors(model)}
    return TrainingSnapshot(values, None if optimizer is None else copy.deepcopy(optimizer.state_dict()))


def rewind(model: nn.Module, snapshot: TrainingSnapshot, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Set parameters, buffers and the optimiser back to a snapshot, and keep the current masks.

    Args:
        model: the model of the snapshot. Values are written in place, so the Parameter objects stay.
        snapshot: the result of :func:`take_snapshot`.
        optimizer: the optimiser, if the snapshot has one.

    Raises:
        ValueError: if the snapshot belongs to a different model or optimiser. Nothing is changed.
        TypeError: if ``model`` is not a module, or ``snapshot`` is not a snapshot.

    Source: Frankle et al. 2020, "Linear mode connectivity and the lottery ticket hypothesis" (rewinding), as in
    Frankle et al. 2021, section 4 and appendix E.

    Example:
        >>> from torch_synflow import rewinding
        >>> model = nn.Linear(4, 2, bias=False)
        >>> start = rewinding.take_snapshot(model)
        >>> _ = model.weight.data.zero_()  # some training
        >>> _ = prune.l1_unstructured(model, "weight", amount=3)
        >>> rewinding.rewind(model, start)
        >>> torch.equal(model.weight_orig, start.values["weight"])
        True
        >>> int((model.weight != 0).sum())
        5
    """
    if not isinstance(snapshot, TrainingSnapshot):
        raise TypeError(f"snapshot: expected the result of take_snapshot, got {type(snapshot).__name__}")
    tensors = dict(_tensors(model))
    _same_model(tensors, snapshot, type(model).__name__)
    if optimizer is not None:
        _same_optimizer(optimizer, snapshot)
    before = None if optimizer is None else copy.deepcopy(optimizer.state_dict())

    def write() -> None:
        for name, tensor in tensors.items():
            tensor.copy_(snapshot.values[name])
        for pair in pruned_parameters(unwrap(model)):
            refresh(pair)
        if optimizer is not None and snapshot.optimizer is not None:
            try:
                optimizer.load_state_dict(copy.deepcopy(snapshot.optimizer))
            except BaseException:
                assert before is not None
                optimizer.load_state_dict(before)
                raise

    all_or_nothing([model], lambda: overwriting(tensors.values(), write))


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of a model by unpruned name, without masks, with tied tensors once."""
    model = unwrapped_module(model)
    seen: set[int] = set()
    for module, name, key, parameter in held_parameters(model):
        if id(parameter) not in seen:
            seen.add(id(parameter))
            yield key.removesuffix("_orig") if f"{name}_mask" in module._buffers else key, parameter
    for prefix, module in model.named_modules():
        for name, buffer in module._buffers.items():
            is_mask = name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in module._parameters
            if buffer is not None and not is_mask and id(buffer) not in seen:
                seen.add(id(buffer))
                yield f"{prefix}.{name}" if prefix else name, buffer


def _same_model(tensors: dict[str, Tensor], snapshot: TrainingSnapshot, name: str) -> None:
    """Raise unless the snapshot has exactly the tensors of the model."""
    advice = f"take the snapshot of this model ({name})"
    different = sorted(tensors.keys() ^ snapshot.values.keys())
    if different:
        where = "the model has no such tensor" if different[0] in snapshot.values else "the snapshot has no such tensor"
        raise ValueError(
            f"snapshot: expected a snapshot of the same model, got one of another model ({different[0]}: {where}); "
            f"{advice}"
        )
    for key, tensor in tensors.items():
        if tensor.shape != snapshot.values[key].shape:
            raise ValueError(
                f"snapshot: expected a snapshot of the same model, got one of another model ({key}: shape "
                f"{tuple(snapshot.values[key].shape)}, expected {tuple(tensor.shape)}); {advice}"
            )


def _same_optimizer(optimizer: torch.optim.Optimizer, snapshot: TrainingSnapshot) -> None:
    if snapshot.optimizer is None:
        raise ValueError(
            "snapshot: expected a snapshot with an optimiser, got one without; take it with take_snapshot(model, "
            "optimizer)"
        )
    now = [len(group["params"]) for group in optimizer.param_groups]
    then = [len(group["params"]) for group in snapshot.optimizer["param_groups"]]
    if now != then:
        raise ValueError(
            f"optimizer: expected groups of {then} parameters as in the snapshot, got {now}; pass the optimiser of the "
            "snapshot"
        )
