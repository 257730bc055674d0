"""Training without pruning hooks, which multiplies masks into the weights after each step instead of in each pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from torch_synflow._torch.fully_sharded import follow_names, reshard
from torch_synflow.model.masks import refresh, unwrapped_module
from torch_synflow.model.places import PrunedPlace, hook_of, pruned_tensors
from torch_synflow.model.transaction import all_or_nothing


@contextmanager
def folded(model: nn.Module, *optimizers: torch.optim.Optimizer) -> Iterator[Callable[[], None]]:
    r"""Make pruned parameters plain ones with zeros inside a context, and restore masks and hooks at its end.

    After each step of the optimisers, pruned weights are set to zero again,

    .. math:: w \leftarrow m \odot w,

    whereas torch's hooks multiply in each forward and backward pass. Kept weights have the same gradients as with
    hooks. Optimisers that treat elements one by one (SGD, Adam and their relatives) therefore give the same kept
    weights, bit for bit. The gradients of pruned weights are not zero here. A norm over all gradients, as in
    ``clip_grad_norm_``, includes them, and so do optimisers that use norms of tensors.

    Three kinds of parameters keep their hooks: those with a mask other than zeros and ones, those with several masks,
    and tied parameters with a place without a mask. A ``state_dict`` from inside the context is that of a dense model.

    Args:
        model: a pruned model. The Parameter objects stay, and their pruned elements are zero afterwards.
        optimizers: the optimisers after whose steps pruned weights are set to zero.

    Yields:
        A function without arguments that sets pruned weights to zero, for changes by other code.

    Raises:
        TypeError: if ``model`` is not a module, or one of ``optimizers`` is not an optimiser.

    Example:
        >>> model = nn.Linear(4, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> _ = prune.l1_unstructured(model, "weight", amount=5)
        >>> with prune.folded(model, optimizer):
        ...     for _ in range(3):
        ...         model(torch.rand(8, 4)).square().sum().backward()
        ...         optimizer.step()
        ...     int((model.weight != 0).sum()), prune.is_pruned(model)
        (3, False)
        >>> prune.is_pruned(model)
        True
    """
    model = unwrapped_module(model)
    for optimizer in optimizers:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizers: expected torch.optim.Optimizer, got {type(optimizer).__name__}")
    tensors = [tensor for tensor in pruned_tensors(model) if not tensor.obstacle]
    places = [(tensor, place) for tensor in tensors for place in tensor.places]

    @torch.no_grad()
    def zero(*_: Any) -> None:
        for tensor in tensors:
            tensor.parameter.mul_(tensor.places[0].mask)

    def take_off() -> None:
        for tensor, place in places:
            place.take_off(tensor.parameter)

    all_or_nothing([model], take_off)
    follow_names(model.modules())
    try:
        with ExitStack() as stack:
            for optimizer in optimizers:
                stack.callback(optimizer.register_step_post_hook(zero).remove)
            zero()
            yield zero
    finally:
        reshard(model)
        try:
            _put_back([place for _, place in places])
        except BaseException:
            _put_back([place for _, place in places])  # again, because an interrupt may have ended it
            raise
        finally:
            follow_names(model.modules())


def _put_back(places: list[PrunedPlace]) -> None:
    for place in places:
        hook = hook_of(place.module, place.name)
        if hook is None:
            place.put_back()
        elif hook is not place.hook:  # pruned meanwhile
            mask = place.module.get_buffer(f"{place.name}_mask")
            refresh((place.module, place.name), mask * place.mask)
