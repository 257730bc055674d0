"""The outputs of a model, or of its submodules, that count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow._torch.pytree import tree_map
from torch_synflow._warnings import listed
from torch_synflow.scoring.task import Outputs


def check_outputs(chosen: Any) -> None:
    """Raise unless ``chosen`` is a valid choice of outputs, or None."""
    parts = chosen if isinstance(chosen, (list, tuple)) else [chosen] if chosen is not None else None
    if parts is None:
        return
    if not parts or not all(_chooses(part) for part in parts):
        raise TypeError(
            "outputs: expected a key, an index or a function of what the model returns, a submodule or its name, or a "
            f'list of these, got {chosen!r}; "logits", 0, lambda outputs: outputs.logits or model.head are examples'
        )


def _chooses(part: Any) -> bool:
    return not isinstance(part, bool) and (isinstance(part, (str, int)) or callable(part))


class CountedOutputs:
    """The outputs of a model that count, ready to be collected in a pass.

    Args:
        model: the model, without a wrapper.
        chosen: a key, an index, a function of the outputs, a submodule or its qualified name, or several of these.

    Raises:
        ValueError: if a submodule does not belong to the model, or lies inside another chosen one.
    """

    def __init__(self, model: nn.Module, chosen: Outputs) -> None:
        self._several = isinstance(chosen, (list, tuple))
        parts: list[Any] = list(chosen) if isinstance(chosen, (list, tuple)) else [chosen]
        named = dict(model.named_modules(remove_duplicate=False))
        names = {module: name for name, module in reversed(named.items())}
        for part in parts:
            if isinstance(part, nn.Module) and part not in names:
                raise ValueError(
                    f"outputs: expected a submodule of the model, got a {type(part).__name__} that does not belong to "
                    "it; pass its qualified name"
                )
        self._parts = [named.get(part, part) if isinstance(part, str) else part for part in parts]
        self._given = parts
        self._modules = {part: names[part] for part in self._parts if isinstance(part, nn.Module)}
        for outer, name in self._modules.items():
            for inner in self._modules:
                if inner is not outer and any(inner is module for module in outer.modules()):
                    raise ValueError(
                        f"outputs: expected submodules that do not contain each other, got {self._modules[inner]!r} "
                        f"within {name!r}"
                    )

    def of(self, call: Callable[[], Any], *, alone: bool) -> Any:
        """The outputs that count in a call of the model.

        Args:
            call: a function that calls the model and returns its outputs.
            alone: whether the rest of the model reads zeros in place of the outputs of chosen submodules, so that these
                decide nothing, such as which boxes a detector keeps.
        """
        with self._taken(alone=alone) as taken:
            found = call()
        if self._drop_names_of_keys(found):
            return self.of(call, alone=alone)
        counted = []
        for part in self._parts:
            if not isinstance(part, nn.Module):
                counted.append(selected(found, part))
                continue
            if not taken[part]:
                raise ValueError(
                    f"outputs: expected a submodule that the model runs, got {self._modules[part]!r}, which did not "
                    "run in this mode on these inputs"
                )
            counted.append(taken[part])
        return counted if self._several else counted[0]

    def _drop_names_of_keys(self, found: Any) -> bool:
        """Treat a name of both a submodule and a key of the outputs as the key; return whether there was one."""
        both = {
            number
            for number, (given, part) in enumerate(zip(self._given, self._parts, strict=True))
            if part is not given and _has(found, given)
        }
        self._parts = [self._given[n] if n in both else part for n, part in enumerate(self._parts)]
        self._modules = {part: self._modules[part] for part in self._parts if isinstance(part, nn.Module)}
        return bool(both)

    @contextmanager
    def _taken(self, *, alone: bool) -> Iterator[dict[nn.Module, list[Any]]]:
        """The outputs of chosen submodules, once per run, by hooks that are removed at the end."""
        taken: dict[nn.Module, list[Any]] = {module: [] for module in self._modules}

        def take(module: nn.Module, args: Any, output: Any) -> Any:
            taken[module].append(output if alone else tree_map(_copied, output))
            return tree_map(_zeros, output) if alone else None

        handles = [module.register_forward_hook(take) for module in self._modules]
        try:
            yield taken
        finally:
            for handle in handles:
                handle.remove()


def _copied(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf  # later operations may write to it


def _zeros(leaf: Any) -> Any:
    """Zeros made from no other tensor, which are therefore not a flow."""
    if not isinstance(leaf, Tensor):
        return leaf
    return torch.zeros(leaf.shape, dtype=leaf.dtype, device=leaf.device)


def _has(found: Any, name: str) -> bool:
    if isinstance(found, Mapping):
        return name in found
    fields = getattr(type(found), "_fields", ())
    return name in fields or (not isinstance(found, (Tensor, Sequence)) and hasattr(found, name))


def selected(found: Any, chosen: str | int | Callable[[Any], Any]) -> Any:
    """The part of the model's outputs that counts."""
    if callable(chosen):
        return chosen(found)
    if isinstance(found, Mapping) and chosen in found:
        return found[chosen]
    if isinstance(chosen, str):
        if hasattr(found, chosen):
            return getattr(found, chosen)
    elif isinstance(found, Sequence) and -len(found) <= chosen < len(found):
        return found[chosen]
    there = type(found).__name__
    if isinstance(found, Mapping):
        there = f"{there} with {listed([str(key) for key in found])}"
    elif isinstance(found, Sequence):
        there = f"{there} of {len(found)}"
    raise ValueError(
        f"outputs: expected an output that the model returns or a submodule of it, got {chosen!r} of {there}"
    )
