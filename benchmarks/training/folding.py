"""Training without pruning hooks: masks are multiplied into the weights after each step, not in each pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow.model.masks import attach
from torch_synflow.model.parameters import Pair, held_parameters


class Place(NamedTuple):
    """A pruned ``module.name``, and what ``torch.nn.utils.prune`` has put there."""

    module: nn.Module
    name: str
    mask: Tensor
    hook: BasePruningMethod


@contextmanager
def folded(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Inside, pruned parameters are plain ones with zeros; afterwards masks and hooks are back, whatever happened.

    Gives a function to call after each step of the optimiser, which sets what is pruned to zero again. What is kept
    is trained to the same bits as with hooks by every optimiser that treats entries one by one, as its gradients are
    the same. The Parameter objects stay; what is pruned of them is zero afterwards.

    A mask that is not of zeros and ones, and a parameter that has several masks or is somewhere without one, can not
    be multiplied in, and keep their hooks.
    """
    held: list[Place] = []
    products: list[tuple[nn.Parameter, Tensor]] = []

    @torch.no_grad()
    def zero() -> None:
        for parameter, mask in products:
            parameter.mul_(mask)

    try:
        for parameter, places in _pruned_everywhere(model):
            first, *others = [place.mask for place in places]
            if torch.equal(first * first, first) and all(m is first or torch.equal(m, first) for m in others):
                products.append((parameter, first))
                for place in places:
                    _fold(place, parameter)
                    held.append(place)
        zero()
        yield zero
    finally:
        for place in held:
            _unfold(place)


def _pruned_everywhere(model: nn.Module) -> Iterator[tuple[nn.Parameter, list[Place]]]:
    """The parameters that are pruned in all places that hold them."""
    held: dict[nn.Parameter, list[Pair]] = {}
    for module, name, _, parameter in held_parameters(model):
        held.setdefault(parameter, []).append((module, name))
    for parameter, pairs in held.items():
        places = [
            Place(module, name, module.get_buffer(f"{name}_mask"), hook)
            for module, name in pairs
            for hook in module._forward_pre_hooks.values()
            if isinstance(hook, BasePruningMethod) and hook._tensor_name == name
        ]
        if len(places) == len(pairs):
            yield parameter, places


def _fold(place: Place, parameter: nn.Parameter) -> None:
    """Make a plain parameter of a pruned one, as torch's ``remove`` does, but in place."""
    module, name, _, hook = place
    for held in (name, f"{name}_orig", f"{name}_mask"):
        delattr(module, held)
    module.register_parameter(name, parameter)
    for key in [key for key, each in module._forward_pre_hooks.items() if each is hook]:
        del module._forward_pre_hooks[key]


def _unfold(place: Place) -> None:
    """The inverse."""
    module, name, mask, hook = place

    def register() -> None:
        parameter = module.get_parameter(name)
        delattr(module, name)
        module.register_parameter(f"{name}_orig", parameter)
        module.register_buffer(f"{name}_mask", mask)
        module.register_forward_pre_hook(hook)

    attach((module, name), register, mask)
