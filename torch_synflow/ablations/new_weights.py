"""New initial values for the weights of a pruned model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from torch_synflow.ablations.given import checked_generator, is_pruned
from torch_synflow.model.masks import entries_of, overwriting, refresh, unwrapped_module
from torch_synflow.model.parameters import Entry, Parameters
from torch_synflow.model.prunable import refuse_sharded
from torch_synflow.model.transaction import all_or_nothing

#: a function that changes a tensor in place, as those of ``torch.nn.init`` do
Initialiser = Callable[[Tensor], object]


def reinitialise(
    model: nn.Module,
    parameters: Parameters | None = None,
    *,
    init: Initialiser | None = None,
    generator: torch.Generator | None = None,
) -> None:
    """Draw new initial values for the weights and keep the masks.

    Args:
        model: the model, pruned or not. Values are written in place, so optimisers keep working.
        parameters: ``(module, name)`` pairs; by default all prunable weights and every other pruned parameter.
        init: a function that changes a tensor in place, such as ``nn.init.kaiming_normal_``; by default the
            ``reset_parameters`` of the module that holds the parameter.
        generator: seeds the draws; by default torch's global generator, which then advances. Each tensor has its own
            seed, so its values do not depend on the tensors that are drawn after it.

    Raises:
        ValueError: if a module has no ``reset_parameters``, or new values are not finite. The message names the
            parameter.
        TypeError: if ``generator`` is not a ``torch.Generator``, or ``init`` is not a function.

    Source: Frankle et al. 2021, section 5, "Reinitialization".

    Example:
        >>> from torch_synflow import ablations
        >>> model = nn.Linear(4, 2)
        >>> _ = prune.l1_unstructured(model, "weight", amount=5)
        >>> ablations.reinitialise(model, init=nn.init.ones_)
        >>> int(model.weight.sum())
        3
    """
    draws = checked_generator(generator)
    if init is not None and not callable(init):
        raise TypeError(f"init: expected a function that changes a tensor in place, got {init!r}")
    refuse_sharded(unwrapped_module(model), "to draw new values")
    entries = entries_of(model, parameters)

    def work() -> None:
        values = [_drawn(entry, init, draws) for entry in entries]

        def write() -> None:
            for entry, value in zip(entries, values, strict=True):
                entry.parameter.copy_(value)
            for entry in entries:
                for pair in entry.locations:
                    if is_pruned(pair):
                        refresh(pair)

        overwriting([entry.parameter for entry in entries], write)

    all_or_nothing([model], work)


def initialise_with_unit_variance(
    model: nn.Module, parameters: Parameters | None = None, *, generator: torch.Generator | None = None
) -> None:
    """Draw the weights of all layers from a normal distribution of variance 1.

    Magnitudes then carry no information about layers. Magnitude pruning prunes all layers by the same fraction, as
    random pruning does.

    Args:
        model: the model, pruned or not.
        parameters: as for :func:`reinitialise`.
        generator: as for :func:`reinitialise`.

    Raises:
        TypeError: if ``generator`` is not a ``torch.Generator``.

    Source: Frankle et al. 2021, section 5, "Magnitude pruning".

    Example:
        >>> from torch_synflow import ablations
        >>> model = nn.Linear(1000, 100)
        >>> draws = torch.Generator().manual_seed(0)
        >>> ablations.initialise_with_unit_variance(model, generator=draws)
        >>> round(float(model.weight.detach().var()), 1)
        1.0
    """
    reinitialise(model, parameters, init=nn.init.normal_, generator=generator)


def _drawn(entry: Entry, init: Initialiser | None, generator: torch.Generator | None) -> Tensor:
    """Draw new values for an entry on a copy."""
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
    """Seed torch's random state by a draw of ``generator``, and restore it afterwards."""
    if generator is None:
        yield
        return
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _copied(module: nn.Module) -> nn.Module:
    """A copy of a module without its pruning, for ``reset_parameters``; ``deepcopy`` fails on products with a graph."""
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
