"""Undo: put modules back exactly as they were, after a read or after a failure.

What is remembered of each module is its ``__dict__`` and the containers in it (parameters, buffers,
submodules, hooks), by reference, so it costs no copy of a weight. Tensors that scoring could write to are
never the module's own: :mod:`torch_synflow.scoring` hands out copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils.prune import BasePruningMethod, PruningContainer

from torch_synflow._torch.errors import refused_parameter
from torch_synflow._torch.fully_sharded import follow_names
from torch_synflow._torch.thread_state import ThreadState, hidden_interrupt
from torch_synflow.model.threads import ONE_AT_A_TIME

Result = TypeVar("Result")


class _ModuleState:
    """One module as it was: attributes, containers, and what autograd keeps."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attributes = dict(module.__dict__)
        self.containers: list[tuple[Any, Any]] = [
            (value, value.copy()) for value in self.attributes.values() if isinstance(value, (dict, list, set))
        ]
        self.pruning = [
            (hook, hook._pruning_methods)
            for hook in module._forward_pre_hooks.values()
            if isinstance(hook, PruningContainer)  # torch adds to the one that is there
        ]
        self.autograd = [(p, p.grad, p.requires_grad) for p in module._parameters.values() if p is not None]

    def signature(self) -> tuple[list[str], list[int]]:
        """What pruning changes on a module: the names of its parameters and its pruning hooks."""
        hooks = self.module._forward_pre_hooks
        return list(self.module._parameters), [k for k, h in hooks.items() if isinstance(h, BasePruningMethod)]

    def restore(self) -> None:
        _refill(self.module.__dict__, self.attributes)
        for container, content in self.containers:
            if isinstance(container, dict):
                _refill(container, content)
            elif isinstance(container, list):
                container[:] = content
            else:
                container.clear()
                container.update(content)
        for hook, methods in self.pruning:
            hook._pruning_methods = methods
        for parameter, grad, requires_grad in self.autograd:
            if parameter.grad is not grad:
                parameter.grad = grad
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)


def _refill(target: MutableMapping[Any, Any], content: MutableMapping[Any, Any]) -> None:
    """Give ``target`` the content and order of ``content``, without a moment in which it is empty if it can."""
    if list(target) != list(content):
        target.clear()
    target.update(content)


class _RandomState:
    """The states of torch's generators, of all devices."""

    def __init__(self) -> None:
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def restore(self) -> None:
        torch.set_rng_state(self._cpu)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)


class Snapshot:
    """The state of some modules and all that they contain, to be restored."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        distinct = {id(m): m for root in modules for m in root.modules()}
        self._states = [_ModuleState(m) for m in distinct.values()]
        self._signatures = [state.signature() for state in self._states]

    def restore(self) -> None:
        """Put every module back; may be called again where an interrupt ended it."""
        for state in self._states:
            state.restore()
        follow_names(state.module for state in self._states)

    def pruned_meanwhile(self, model: nn.Module) -> str:
        """Where the names of parameters or the pruning hooks are not those of the snapshot, empty if nowhere."""
        names = {id(module): name for name, module in model.named_modules()}
        for state, signature in zip(self._states, self._signatures, strict=True):
            if state.signature() != signature:
                return f"{names.get(id(state.module), '')} {type(state.module).__name__}".strip()
        return ""


def unchanged(model: nn.Module, work: Callable[[], Result]) -> Result:
    """The result of ``work``; whatever happens in it, ``model`` is left as it was.

    If it fails, torch's random states are as before too.

    Not a context manager: an interrupt that arrives as one is left would leave the model changed.

    Raises ``ValueError`` when ``work`` pruned the model, as its scores then mean nothing.
    """
    with ONE_AT_A_TIME:
        thread, random, snapshot = ThreadState(), _RandomState(), Snapshot([model])
        where = ""
        cause: Exception | None = None
        try:
            try:
                result = work()
                where = snapshot.pruned_meanwhile(model)
            except Exception as error:
                # torch's functions fail early on the plain tensors that torch.func puts in the place of parameters
                refused = refused_parameter(error)
                where = refused.removesuffix("_orig") if refused.endswith("_orig") else snapshot.pruned_meanwhile(model)
                cause = error
                if not where:
                    raise
            finally:
                snapshot.restore()
        except BaseException as error:
            thread.restore(error)
            snapshot.restore()  # once more, as it may be what was interrupted, or what still waited has written
            random.restore()
            if (interrupt := hidden_interrupt(error)) is not None:
                raise interrupt from None
            raise
    if where:
        raise ValueError(
            f"model: its forward prunes, adds or removes parameters ({where}) while it is scored; expected a "
            "forward that leaves them alone: prune outside of forward"
        ) from cause
    return result


def all_or_nothing(modules: Iterable[nn.Module], work: Callable[[], Result]) -> Result:
    """The result of ``work``; if it fails or is interrupted, ``modules`` and torch's random states are as before.

    Not a context manager: see :func:`unchanged`.
    """
    with ONE_AT_A_TIME:
        thread, random, snapshot = ThreadState(), _RandomState(), Snapshot(modules)

        def undo(error: BaseException) -> None:
            thread.restore(error)  # first, as what still waits may write
            snapshot.restore()
            random.restore()

        try:
            try:
                return work()
            except BaseException as error:
                undo(error)
                raise
        except BaseException as error:
            undo(error)  # once more, as it may be what was interrupted
            if (interrupt := hidden_interrupt(error)) is not None:
                raise interrupt from None
            raise
