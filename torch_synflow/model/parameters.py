"""The list of parameters that users pass, and its resolution into checked entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from torch_synflow._torch.compiled import inside_compiled
from torch_synflow.model.layout import as_shown_by, sum_of
from torch_synflow.model.listing import ExampleInputs, PrunableParameters, prunable_parameters
from torch_synflow.model.prunable import Pair, prunable, refuse_flat_shards
from torch_synflow.model.threads import ONE_AT_A_TIME

__all__ = [
    "Entry", "ExampleInputs", "Pair", "Parameters", "PrunableParameters", "as_pairs", "held_parameters",
    "prunable_parameters", "resolve", "unwrap",
]  # fmt: skip

#: a model, for all its prunable weights, or ``(module, name)`` pairs
Parameters = nn.Module | Iterable[Pair]


@dataclass(frozen=True, eq=False)
class Entry:
    """One tensor to prune, which may have several names.

    Attributes:
        label: its name in messages and reports; the qualified name if the model is known.
        key: the current qualified name of the parameter in the model (``...weight_orig`` once pruned), empty without a
            model.
        locations: every ``(module, name)`` that holds it.
        parameter: the dense parameter itself.
        mask: boolean, true where earlier pruning has kept the element.
        zeros: the number of elements that count as pruned because they are zero, without a mask (:mod:`.zeros`).
    """

    label: str
    key: str
    locations: tuple[Pair, ...]
    parameter: nn.Parameter
    mask: Tensor
    zeros: int = 0

    @property
    def total(self) -> int:
        """The number of elements of the tensor, including pruned ones."""
        return self.parameter.numel()

    @cached_property
    def alive(self) -> int:
        """The number of elements that earlier pruning has kept."""
        return sum_of(self.mask)


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside ``DataParallel``, ``DistributedDataParallel`` or ``torch.compile``; FSDP1 raises an error."""
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif (inside := inside_compiled(model)) is not None:
            model = inside
        else:
            refuse_flat_shards(model)
            return model


def as_pairs(parameters: Parameters) -> list[Pair]:
    """The pairs that a user passed, as a list, from any iterable of pairs (read once) or from a model."""
    if isinstance(parameters, nn.Module):
        parameters = prunable_parameters(parameters)
    if isinstance(parameters, (str, Mapping, Tensor)) or not isinstance(parameters, Iterable):
        got = type(parameters).__name__
        if isinstance(parameters, type):
            got = f"the class {parameters.__name__}, of which a model is an instance"
        raise TypeError(
            "parameters: expected a model or an iterable of (module, name) pairs, "
            f"got {got}; prune.prunable_parameters(model) returns such a list"
        )
    pairs = list(parameters)
    if not pairs:
        raise ValueError(
            "parameters: expected at least one (module, name) pair, got none; prune.prunable_parameters(model) lists "
            "the weights of linear, convolution and recurrent layers, and a model without such layers has none"
        )
    if len(pairs) == 2 and isinstance(pairs[0], nn.Module) and isinstance(pairs[1], str):
        raise TypeError('parameters: expected a list of pairs, got one pair; pass [(module, "weight")]')
    for index, pair in enumerate(pairs):
        if not (
            isinstance(pair, (tuple, list))
            and len(pair) == 2
            and isinstance(pair[0], nn.Module)
            and isinstance(pair[1], str)
        ):
            raise TypeError(
                f'parameters[{index}]: expected a (module, name) pair such as (model.fc, "weight"), got '
                f"{_what(pair)}; prune.prunable_parameters(model) returns such a list, and you can also pass the model "
                "itself"
            )
    return [(module, name) for module, name in pairs]


def resolve(parameters: Parameters, model: nn.Module | None) -> list[Entry]:
    """Check the pairs that a user passed and merge pairs of the same tensor. Nothing is changed.

    Args:
        parameters: an iterable of ``(module, name)`` pairs, or a model, for all its prunable weights.
        model: the model that they belong to, or ``None`` if no score needs it. With a model, entries get qualified
            names, and include ties to modules that are not listed.

    Raises:
        TypeError, ValueError: if a pair is invalid. The message names it, what was expected, and the fix.
    """
    with ONE_AT_A_TIME:
        return _resolved(as_pairs(parameters), model)


def _resolved(pairs: list[Pair], model: nn.Module | None) -> list[Entry]:
    owners = _owners(model) if model is not None else {}
    labels = [_label(index, pair, owners, model) for index, pair in enumerate(pairs)]
    found: dict[int, list[Pair]] = {}
    first: dict[int, str] = {}
    tensors: dict[int, nn.Parameter] = {}
    for pair, label in zip(pairs, labels, strict=True):
        parameter = prunable(pair, label)
        places = found.setdefault(id(parameter), [])
        first.setdefault(id(parameter), label)
        tensors[id(parameter)] = parameter
        tied = [(module, name) for module, name, _ in owners.get(id(parameter), [])]
        for place in (pair, *tied):
            if place not in places:
                prunable(place, label)
                places.append(place)
    entries = []
    for identity, places in found.items():
        parameter = tensors[identity]
        key = owners[identity][0][2] if model is not None else ""
        mask = torch.ones_like(parameter, dtype=torch.bool)
        for place_module, place_name in places:
            earlier = getattr(place_module, f"{place_name}_mask", None)
            if f"{place_name}_orig" in place_module._parameters and isinstance(earlier, Tensor):
                mask &= as_shown_by(parameter, earlier != 0)
        entries.append(Entry(first[identity], key, tuple(places), parameter, mask))
    _one_device(entries)
    return entries


def held_parameters(model: nn.Module) -> Iterator[tuple[nn.Module, str, str, nn.Parameter]]:
    """Every place of a model that holds a parameter: module, name without ``_orig``, qualified key, parameter."""
    for prefix, module in model.named_modules():
        for held, parameter in module._parameters.items():
            if parameter is not None:
                bare = held.removesuffix("_orig")
                name = bare if f"{bare}_mask" in module._buffers else held
                yield module, name, f"{prefix}.{held}" if prefix else held, parameter


def _owners(model: nn.Module) -> dict[int, list[tuple[nn.Module, str, str]]]:
    """For the identity of each parameter: the ``(module, name, qualified key)`` of every place that holds it."""
    owners: dict[int, list[tuple[nn.Module, str, str]]] = {}
    for module, name, key, parameter in held_parameters(model):
        owners.setdefault(id(parameter), []).append((module, name, key))
    return owners


def _label(index: int, pair: Pair, owners: dict[int, list[tuple[nn.Module, str, str]]], model: nn.Module | None) -> str:
    """The name of an entry in messages; raises an error if the model does not contain its module."""
    module, name = pair
    if model is None:
        return f"parameters[{index}] ({type(module).__name__}.{name})"
    for prefix, candidate in model.named_modules():
        if candidate is module:
            return f"{prefix}.{name}" if prefix else name
    raise ValueError(
        f"parameters[{index}] ({type(module).__name__}.{name}): expected a module of the model "
        f"{type(model).__name__}, got one that it does not contain; pass the model that the pairs come from"
    )


def _one_device(entries: list[Entry]) -> None:
    first = entries[0]
    for entry in entries[1:]:
        if entry.parameter.device != first.parameter.device:
            raise ValueError(
                f"{entry.label}: expected device {first.parameter.device}, that of {first.label}, "
                f"got {entry.parameter.device}; move the model to one device, prune, and move it back"
            )


def _what(given: object) -> str:
    """A description of an item that is not a pair, by the method of a model that returns such items."""
    kinds = [type(given)] if not isinstance(given, (tuple, list)) else [type(part) for part in given]
    for made, types in (
        ("parameters()", (Tensor,)), ("named_parameters()", (str, Tensor)), ("modules()", (nn.Module,)),
        ("named_modules()", (str, nn.Module)), ("state_dict()", (str,)),
    ):  # fmt: skip
        if len(kinds) == len(types) and all(issubclass(kind, one) for kind, one in zip(kinds, types, strict=True)):
            return f"{_short([kind.__name__ for kind in kinds])[1:-1]}, as returned by model.{made}".replace("'", "")
    return _short(given)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
