"""The description of a call, in words that the ranks compare."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from torch_synflow._warnings import listed
from torch_synflow.model.layout import Layout, is_sharded
from torch_synflow.model.parameters import Entry, held_parameters
from torch_synflow.parallel.ranks.fingerprints import fingerprint


def described(
    entries: Sequence[Entry], model: nn.Module | None, method: type, arguments: Mapping[str, object]
) -> dict[str, str]:
    """The tensors of a call, the other parameters of its model, its method and its arguments.

    Args:
        entries: the tensors, whose values and masks count.
        model: without its wrapper, if it is known.
        method: the class of the method, whose settings count.
        arguments: what else counts, by name.
    """
    found = {"pruning_method": _method(method), **listed_in_words(entries, arguments)}
    for entry in entries:
        left = "in parts" if is_sharded(entry.mask) else fingerprint(entry.mask)
        found[entry.label] = f"{_tensor(entry.parameter)}, {entry.alive} of {entry.total} left {left}"
    listed_already = {id(entry.parameter) for entry in entries}
    for _, _, key, parameter in () if model is None else held_parameters(model):
        if id(parameter) not in listed_already:
            listed_already.add(id(parameter))
            found[key] = _tensor(parameter)
    return found


def listed_in_words(entries: Sequence[Entry], arguments: Mapping[str, object]) -> dict[str, str]:
    """The arguments of a call and the names of its tensors, for which nothing needs to be counted."""
    labels = [entry.label for entry in entries]
    found = {name: in_words(value) for name, value in arguments.items()}
    return {**found, "parameters": f"{listed(labels)} ({digest(labels)})"}


def in_words(value: object) -> str:
    """A value without parts that differ between processes, such as addresses of objects."""
    if isinstance(value, partial):
        return f"partial({in_words(value.func)})"
    if hasattr(value, "__qualname__"):
        named: Any = value
        return f"{named.__module__}.{named.__qualname__}"
    text = repr(value) if value is None or isinstance(value, (bool, int, float, str)) else ""
    return text if text and " at 0x" not in text else _kind(value)


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _method(method: type) -> str:
    """A class by its name and its settings."""
    settings = {
        name: value
        for name in dir(method)
        if not name.startswith("_") and isinstance(value := getattr(method, name), (bool, int, float, str, torch.dtype))
    }
    shown = ", ".join(f"{name}={value}" for name, value in settings.items())
    return f"{method.__module__}.{method.__qualname__}({shown})"


def _tensor(parameter: nn.Parameter) -> str:
    kind = f"{tuple(parameter.shape)} {str(parameter.dtype).removeprefix('torch.')} on {parameter.device.type}"
    if is_lazy(parameter) or parameter.is_meta:
        return kind
    if is_sharded(parameter):
        layout = Layout.of(parameter)
        return f"{kind} as {layout.placements} over {tuple(layout.mesh.shape)}"
    return f"{kind} with values {fingerprint(parameter)}"


def digest(values: object) -> str:
    """A few letters that are the same for the same values."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12]
