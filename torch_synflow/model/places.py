"""The places of a model that hold a pruned tensor, with their hooks and masks, and removing these."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow.model.masks import attach, take_the_place
from torch_synflow.model.parameters import held_parameters


@dataclass(frozen=True, eq=False)
class PrunedPlace:
    """A pruned ``module.name``, with the mask and hook of ``torch.nn.utils.prune``.

    Attributes:
        module: the module that holds the tensor.
        name: its name in ``module``, without ``_orig``.
        label: its qualified name.
        mask: the buffer ``name_mask``.
        hook: the forward pre-hook.
    """

    module: nn.Module
    name: str
    label: str
    mask: Tensor
    hook: BasePruningMethod

    def take_off(self, parameter: nn.Parameter) -> None:
        """Make it a plain parameter, as torch's ``remove`` does, but without changing values."""
        module, name = self.module, self.name
        order = list(module._parameters)
        for held in (name, f"{name}_orig", f"{name}_mask"):
            delattr(module, held)
        setattr(module, name, parameter)
        take_the_place(module, f"{name}_orig", order)
        for key in [key for key, each in module._forward_pre_hooks.items() if each is self.hook]:
            del module._forward_pre_hooks[key]

    def put_back(self) -> None:
        """The inverse of :meth:`take_off`."""
        module, name = self.module, self.name

        def register() -> None:
            parameter = module.get_parameter(name)
            delattr(module, name)
            module.register_parameter(f"{name}_orig", parameter)
            module.register_buffer(f"{name}_mask", self.mask)
            module.register_forward_pre_hook(self.hook)

        attach((module, name), register, self.mask)


@dataclass(frozen=True, eq=False)
class PrunedTensor:
    """A parameter that is pruned in at least one place of a model.

    Attributes:
        parameter: the dense parameter.
        places: the places where it is pruned.
        others: the qualified names of the places that hold it unpruned.
    """

    parameter: nn.Parameter
    places: tuple[PrunedPlace, ...]
    others: tuple[str, ...]

    @property
    def obstacle(self) -> str:
        """The reason why its masks cannot be multiplied into it permanently; empty if they can."""
        first = self.places[0]
        if self.others:
            return f"it is tied to {self.others[0]}, which has no mask"
        for place in self.places:
            if not is_binary(place.mask):
                return f"{place.label}_mask has other values than zeros and ones"
            if place.mask is not first.mask and not torch.equal(place.mask, first.mask):
                return f"it is tied to {place.label}, which has another mask"
        return ""


def pruned_tensors(model: nn.Module) -> list[PrunedTensor]:
    """The parameters of a model that have a pruning hook of torch's, in the order of the model."""
    held: dict[nn.Parameter, tuple[list[PrunedPlace], list[str]]] = {}
    for module, name, key, parameter in held_parameters(model):
        places, others = held.setdefault(parameter, ([], []))
        hook = hook_of(module, name)
        mask = module._buffers.get(f"{name}_mask")
        if hook is None or mask is None:
            others.append(key)
        else:
            places.append(PrunedPlace(module, name, key.removesuffix("_orig"), mask, hook))
    return [PrunedTensor(p, tuple(places), tuple(others)) for p, (places, others) in held.items() if places]


def hook_of(module: nn.Module, name: str) -> BasePruningMethod | None:
    """The pruning hook of ``module.name``."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod) and getattr(hook, "_tensor_name", "") == name:
            return hook
    return None


def is_binary(mask: Tensor) -> bool:
    """Whether all values of a mask are 0 or 1."""
    return mask.dtype == torch.bool or bool(((mask == 0) | (mask == 1)).all())
