"""Undo: put modules back exactly as they were, after a read or after a failure.

What is remembered of each module is its ``__dict__`` and the containers in it (parameters, buffers,
submodules, hooks), by reference, so it costs no copy of a weight. Tensors that scoring could write to are
never the module's own: :mod:`torch_synflow.scoring` hands out copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod


def _is_pruned(module: nn.Module, name: str) -> bool:
    """Whether ``module.name`` is only the product that a pruning hook writes anew at each call."""
    return f"{name}_orig" in module._parameters


class _ModuleState:
    """One module as it was: attributes, containers, plain tensor attributes, and what autograd keeps."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attributes = dict(module.__dict__)
        self.containers: list[tuple[Any, Any]] = [
            (value, value.copy()) for value in self.attributes.values() if isinstance(value, (dict, list, set))
        ]
        self.tensors = [
            (value, value.detach().clone())
            for name, value in self.attributes.items()
            if isinstance(value, Tensor) and not _is_pruned(module, name)
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
        for tensor, value in self.tensors:
            if not torch.equal(tensor, value):
                tensor.detach().copy_(value)
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


class Snapshot:
    """The state of some modules and all that they contain, to be restored."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        distinct = {id(m): m for root in modules for m in root.modules()}
        self._states = [_ModuleState(m) for m in distinct.values()]
        self._signatures = [state.signature() for state in self._states]

    def restore(self) -> None:
        """Put every module back; an interrupt that arrives meanwhile is raised only afterwards."""
        try:
            for state in self._states:
                state.restore()
        except KeyboardInterrupt:
            for state in self._states:
                state.restore()
            raise

    def pruned_meanwhile(self) -> nn.Module | None:
        """The first module whose parameters' names or pruning hooks are not those of the snapshot."""
        for state, signature in zip(self._states, self._signatures, strict=True):
            if state.signature() != signature:
                return state.module
        return None


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Whatever happens inside, leave ``model`` as it was.

    Raises ``ValueError`` when the code inside pruned the model, as its scores then mean nothing.
    """
    snapshot = Snapshot([model])
    pruned: nn.Module | None = None
    cause: Exception | None = None
    try:
        yield
    except Exception as error:
        pruned, cause = snapshot.pruned_meanwhile(), error
        if pruned is None:
            raise
    else:
        pruned = snapshot.pruned_meanwhile()
    finally:
        snapshot.restore()
    if pruned is not None:
        name = next((n for n, m in model.named_modules() if m is pruned), "")
        raise ValueError(
            f"model: its forward pruned, added or removed parameters of {name or 'the model'} "
            f"({type(pruned).__name__}) while it was scored; expected a forward that leaves them alone: "
            "prune outside of forward"
        ) from cause


@contextmanager
def all_or_nothing(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Undo every change to ``modules``, and to torch's random states, if the code inside fails or is interrupted."""
    snapshot = Snapshot(modules)
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    except BaseException:
        snapshot.restore()
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        raise
