"""Atomic work on modules: restore them exactly after a read or a failure.

A snapshot remembers the ``__dict__`` of each module and the containers in it (parameters, buffers, submodules, hooks)
by reference, so it does not copy weights. Tensors that scoring can write to are never the module's own, because
:mod:`torch_synflow.scoring` passes copies.
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
    """The state of one module: attributes, containers, and autograd's data."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attributes = dict(module.__dict__)
        self.containers: list[tuple[Any, Any]] = [
            (value, value.copy()) for value in self.attributes.values() if isinstance(value, (dict, list, set))
        ]
        self.pruning = [
            (hook, hook._pruning_methods)
            for hook in module._forward_pre_hooks.values()
            if isinstance(hook, PruningContainer)  # torch adds to the existing one
        ]
        self.autograd = [(p, p.grad, p.requires_grad) for p in module._parameters.values() if p is not None]

    def signature(self) -> tuple[list[str], list[int]]:
        """The parts of a module that pruning changes: the names of its parameters and its pruning hooks."""
        hooks = self.module._forward_pre_hooks
        # .keys(), because what TorchScript has here is not iterable
        return list(self.module._parameters.keys()), [k for k, h in hooks.items() if isinstance(h, BasePruningMethod)]

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
    """Give ``target`` the content and order of ``content``, if possible without emptying it in between."""
    if list(target) != list(content):
        target.clear()
    target.update(content)


class _RandomState:
    """The states of torch's generators on all devices."""

    def __init__(self) -> None:
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def restore(self) -> None:
        torch.set_rng_state(self._cpu)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)


class Snapshot:
    """The state of modules and their submodules, to be restored."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        distinct = {id(m): m for root in modules for m in root.modules()}
        self._states = [_ModuleState(m) for m in distinct.values()]
        self._signatures = [state.signature() for state in self._states]

    def restore(self) -> None:
        """Restore every module. The call can be repeated if an interrupt ended it."""
        for state in self._states:
            state.restore()
        follow_names(state.module for state in self._states)

    def pruned_meanwhile(self, model: nn.Module) -> str:
        """The module whose parameter names or pruning hooks differ from the snapshot; empty if none."""
        names = {id(module): name for name, module in model.named_modules()}
        for state, signature in zip(self._states, self._signatures, strict=True):
            if state.signature() != signature:
                return f"{names.get(id(state.module), '')} {type(state.module).__name__}".strip()
        return ""


def unchanged(model: nn.Module, work: Callable[[], Result]) -> Result:
    """Return the result of ``work``, and restore ``model`` in any case.

    If ``work`` fails, torch's random states are restored too.

    This is not a context manager, because an interrupt during its exit would leave the model changed.

    Raises ``ValueError`` if ``work`` pruned the model, because its scores are then meaningless.
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
                # torch's functions fail early on the plain tensors that torch.func puts in place of parameters
                refused = refused_parameter(error)
                where = refused.removesuffix("_orig") if refused.endswith("_orig") else snapshot.pruned_meanwhile(model)
                cause = error
                if not where:
                    raise
            finally:
                snapshot.restore()
        except BaseException as error:
            thread.restore(error)
            snapshot.restore()  # again, because the interrupt may have hit this step, or pending code has written
            random.restore()
            if (interrupt := hidden_interrupt(error)) is not None:
                raise interrupt from None
            raise
    if where:
        raise ValueError(
            f"model: its forward prunes, adds or removes parameters ({where}) during scoring; expected a forward that "
            "does not change them; prune outside forward"
        ) from cause
    return result


def all_or_nothing(modules: Iterable[nn.Module], work: Callable[[], Result]) -> Result:
    """Return the result of ``work``. If it fails or is interrupted, restore ``modules`` and torch's random states.

    This is not a context manager; see :func:`unchanged`.
    """
    with ONE_AT_A_TIME:
        thread, random, snapshot = ThreadState(), _RandomState(), Snapshot(modules)

        def undo(error: BaseException) -> None:
            thread.restore(error)  # first, because pending code may write
            snapshot.restore()
            random.restore()

        try:
            try:
                return work()
            except BaseException as error:
                undo(error)
                raise
        except BaseException as error:
            undo(error)  # again, because the interrupt may have hit this step
            if (interrupt := hidden_interrupt(error)) is not None:
                raise interrupt from None
            raise
