"""The ablations of "missing the mark": what of a mask matters, its entries, the weights, or the layers' densities?

Each works on a model that was pruned by anyone through ``torch.nn.utils.prune``, keeps the Parameter objects and the
hooks, and draws the same with a :class:`torch.Generator` of the same state, on whatever device that is.

Source: Frankle et al. 2021, "Pruning neural networks at initialization: why are we missing the mark?", section 5.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow.methods.inverted import inverted
from torch_synflow.model.masks import entries_of, ones_where, overwriting, pruned_parameters, refresh
from torch_synflow.model.parameters import Entry, Pair, Parameters, resolve, unwrap
from torch_synflow.model.transaction import all_or_nothing

#: changes a tensor in place, as the functions of ``torch.nn.init`` do
Initialiser = Callable[[Tensor], object]

__all__ = ["initialise_with_unit_variance", "inverted", "reinitialise", "shuffle_masks"]


def __dir__() -> list[str]:
    return sorted(__all__)


def shuffle_masks(
    model: nn.Module, parameters: Parameters | None = None, *, generator: torch.Generator | None = None
) -> None:
    """Permute the mask of each tensor at random: the density of each layer stays, which entries it keeps does not.

    Args:
        model: a pruned model. Masks are replaced, weights and hooks stay.
        parameters: ``(module, name)`` pairs that are pruned; all that are, by default. A tensor that is tied
            between modules gets one mask everywhere.
        generator: draws the permutations; torch's global one by default.

    Raises:
        ValueError: if nothing of the model, or one of ``parameters``, is not pruned.
        TypeError: if ``generator`` is none.

    Source: Frankle et al. 2021, section 5, "Randomly shuffling".

    Example:
        >>> from torch_synflow import ablations
        >>> model = nn.Linear(4, 2)
        >>> _ = prune.l1_unstructured(model, "weight", amount=5)
        >>> before = model.weight_mask.clone()
        >>> ablations.shuffle_masks(model, generator=torch.Generator().manual_seed(0))
        >>> int(model.weight_mask.sum()), torch.equal(model.weight_mask, before)
        (3, False)
    """
    draws = _checked(generator)
    if parameters is None:
        parameters = _require_pruned(model, pruned_parameters(_module(model)))
    entries = resolve(parameters, unwrap(_module(model)))
    for entry in entries:
        _require_pruned(model, [pair for pair in entry.locations if _is_pruned(pair)], entry.label)

    def work() -> None:  # with the draws, so that torch's random state is as it was if something fails
        for entry in entries:
            order = torch.randperm(entry.total, generator=draws, device=None if draws is None else draws.device)
            kept = entry.mask.reshape(-1)[order.to(entry.mask.device)].reshape(entry.mask.shape)
            for pair in entry.locations:
                if _is_pruned(pair):
                    refresh(pair, ones_where(kept, entry.parameter))

    all_or_nothing([model], work)


def reinitialise(
    model: nn.Module,
    parameters: Parameters | None = None,
    *,
    init: Initialiser | None = None,
    generator: torch.Generator | None = None,
) -> None:
    """Draw new initial values for the weights; masks stay.

    Args:
        model: the model, pruned or not. Values are written in place, so optimisers keep working.
        parameters: ``(module, name)`` pairs; by default all prunable weights and whatever else is pruned.
        init: changes a tensor in place, as ``nn.init.kaiming_normal_`` does; by default the
            ``reset_parameters`` of the module that holds the parameter.
        generator: seeds the draws; torch's global one by default, which then moves on. Each tensor gets a seed
            of its own, so the values of one do not depend on which others are drawn after it.

    Raises:
        ValueError: naming a parameter whose module has no ``reset_parameters``, or whose new values are not finite.
        TypeError: if ``generator`` or ``init`` is none.

    Source: Frankle et al. 2021, section 5, "Reinitialization".

    Example:
        >>> from torch_synflow import ablations
        >>> model = nn.Linear(4, 2)
        >>> _ = prune.l1_unstructured(model, "weight", amount=5)
        >>> ablations.reinitialise(model, init=nn.init.ones_)
        >>> int(model.weight.sum())
        3
    """
    draws = _checked(generator)
    if init is not None and not callable(init):
        raise TypeError(f"init: expected a function that changes a tensor in place, got {init!r}")
    entries = entries_of(_module(model), parameters)

    def work() -> None:
        values = [_drawn(entry, init, draws) for entry in entries]

        def write() -> None:
            for entry, value in zip(entries, values, strict=True):
                entry.parameter.copy_(value)
            for entry in entries:
                for pair in entry.locations:
                    if _is_pruned(pair):
                        refresh(pair)

        overwriting([entry.parameter for entry in entries], write)

    all_or_nothing([model], work)


def initialise_with_unit_variance(
    model: nn.Module, parameters: Parameters | None = None, *, generator: torch.Generator | None = None
) -> None:
    """Draw every weight from a normal distribution of variance 1, whatever its layer.

    Magnitudes then say nothing of layers: magnitude pruning prunes all by the same fraction, as random pruning does.

    Args:
        model: the model, pruned or not.
        parameters: as for :func:`reinitialise`.
        generator: as for :func:`reinitialise`.

    Raises:
        TypeError: if ``generator`` is none.

    Source: Frankle et al. 2021, section 5, "Magnitude pruning".

    Example:
        >>> from torch_synflow import ablations
        >>> model = nn.Linear(1000, 100)
        >>> ablations.initialise_with_unit_variance(model, generator=torch.Generator().manual_seed(0))
        >>> round(float(model.weight.detach().var()), 1)
        1.0
    """
    reinitialise(model, parameters, init=nn.init.normal_, generator=generator)


def _module(model: Any) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    return model


def _checked(generator: Any) -> torch.Generator | None:
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator, got {generator!r}; torch.Generator().manual_seed(0)")
    return generator


def _is_pruned(pair: Pair) -> bool:
    module, name = pair
    return f"{name}_orig" in module._parameters and f"{name}_mask" in module._buffers


def _require_pruned(model: nn.Module, pairs: list[Pair], label: str = "model") -> list[Pair]:
    if not pairs:
        what = f"got {type(model).__name__} without one" if label == "model" else "got a parameter without one"
        raise ValueError(f"{label}: expected a mask of torch.nn.utils.prune to shuffle, {what}; prune first")
    return pairs


def _drawn(entry: Entry, init: Initialiser | None, generator: torch.Generator | None) -> Tensor:
    """New values for an entry, drawn on a copy."""
    module, name = entry.locations[0]
    if init is None and not callable(getattr(module, "reset_parameters", None)):
        raise ValueError(
            f"{entry.label}: expected a module with reset_parameters, got {type(module).__name__}; pass "
            "init=, a function that changes a tensor in place such as nn.init.kaiming_normal_"
        )
    with _seeded(entry.parameter.device, generator), torch.inference_mode(False):
        if init is not None:
            value = entry.parameter.detach().clone()
            with torch.no_grad():
                init(value)
        else:
            twin = _copied(module)
            twin.reset_parameters()  # type: ignore[operator]
            value = getattr(twin, name).detach()
    if value.shape != entry.parameter.shape or not bool(torch.isfinite(value).all()):
        raise ValueError(
            f"{entry.label}: expected finite initial values of shape {tuple(entry.parameter.shape)}, got "
            f"{'NaN or infinity' if value.shape == entry.parameter.shape else f'shape {tuple(value.shape)}'}"
        )
    return value


@contextmanager
def _seeded(device: torch.device, generator: torch.Generator | None) -> Iterator[None]:
    """Torch's random state as a draw of ``generator`` seeds it; afterwards it is as it was."""
    if generator is None:
        yield
        return
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _copied(module: nn.Module) -> nn.Module:
    """A copy of a module without its pruning, as ``reset_parameters`` expects it; ``deepcopy`` may fail on products."""
    twin = copy.copy(module)
    state = dict(module.__dict__)
    parameters = {}
    for held, parameter in module._parameters.items():
        bare = held.removesuffix("_orig")
        pruned = f"{bare}_mask" in module._buffers
        if pruned:
            state.pop(bare, None)
        clone = None if parameter is None else nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
        parameters[bare if pruned else held] = clone
    state["_parameters"] = parameters
    state["_buffers"] = {n: None if b is None else b.detach().clone() for n, b in module._buffers.items()}
    state["_modules"] = {n: None if child is None else _copied(child) for n, child in module._modules.items()}
    twin.__dict__ = state
    return twin
