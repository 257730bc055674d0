"""Scoring: a model read as a pure function of the weights that are scored, by ``torch.func``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from torch_synflow._torch.pytree import tree_map
from torch_synflow.model.parameters import Entry, unwrap
from torch_synflow.model.transaction import unchanged
from torch_synflow.scoring.gradients import Differentiable
from torch_synflow.scoring.task import Task, Weights
from torch_synflow.selection.survivors import Survivors


class Network(Differentiable):
    """A model as a pure function of some of its weights.

    Everything that the forward pass can reach is a copy in the scoring precision, so that nothing it does
    arrives at the model.

    Attributes:
        task: what the weights are scored with.
        model: the model without its wrapper.
        weights: the scored weights by qualified name, ``name_orig * name_mask``.
        masks: their boolean masks, by the same names.
        unpruned: whether these are all true.
        dense: ``weights`` themselves, but those that the call began with where pruned ones may return.
        unused: the names of those that the outputs do not depend on in this mode, as far as a method found out.
        dtype: the precision that inputs are cast to.
        device: where the scored weights lie.
    """

    def __init__(
        self,
        task: Task,
        entries: Sequence[Entry],
        masks: Sequence[Tensor],
        floor: torch.dtype,
        *,
        floor_of_weights: torch.dtype | None = None,
    ) -> None:
        assert task.model is not None  # SaliencyUnstructured.require saw to it
        self.task = task
        self.model = unwrap(task.model)
        self.device = entries[0].parameter.device
        self.masks = {entry.key: mask for entry, mask in zip(entries, masks, strict=True)}
        self.weights = {
            entry.key: widened(entry.parameter, floor_of_weights or floor).masked_fill_(~mask, 0)
            for entry, mask in zip(entries, masks, strict=True)
        }
        self.dense = self.weights
        self.unused: set[str] = set()
        self._others = {
            name: widened(_materialised(parameter, name), floor)
            for name, parameter in self.model.named_parameters()
            if name not in self.weights
        }
        self._buffers = {
            name: widened(_materialised(buffer, name), floor) for name, buffer in self.model.named_buffers()
        }
        self._constants = [
            (module, name, widened(value, floor))
            for module in self.model.modules()
            for name, value in module.__dict__.items()
            if isinstance(value, Tensor) and f"{name}_orig" not in module._parameters
        ]
        floating = [t.dtype for t in (*self.weights.values(), *self._others.values()) if t.is_floating_point()]
        self.dtype = max(floor, *floating, key=lambda dtype: torch.finfo(dtype).bits)
        self.unpruned = all(bool(mask.all()) for mask in masks)

    def __call__(self, weights: Weights, inputs: Any) -> Any:
        """The model's outputs with ``weights`` in place of its own: tuples and mappings of inputs are spread."""
        # cloned inside, as a transform of torch.func must own what a forward writes to (BatchNorm's counters)
        for module, name, constant in self._constants:
            module.__dict__[name] = constant.clone()
        state = {**self._others, **{name: buffer.clone() for name, buffer in self._buffers.items()}, **weights}
        if isinstance(inputs, Mapping):
            return functional_call(self.model, state, (), dict(inputs))
        return functional_call(self.model, state, tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,))

    def apply_masks(self, survivors: Survivors) -> None:
        """Set the weights to zero that are no survivors."""
        self.unpruned = False
        self.masks = dict(zip(self.weights, survivors.masks, strict=True))
        for name, weight in self.weights.items():
            torch.mul(weight, self.masks[name].view(torch.uint8), out=weight)  # far quicker than a choice

    def mask_dense(self, survivors: Survivors) -> None:
        """Set the weights to the dense ones under the masks of what is left, where pruned ones may return."""
        self.unpruned = False
        pairs = zip(self.dense.items(), survivors.masks, strict=True)
        self.weights = {name: weight * mask for (name, weight), mask in pairs}

    def prepared(self, tree: Any) -> Any:
        """Inputs or targets on the weights' device, the floating ones in the scoring precision."""

        def prepare(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if leaf.is_inference():
                leaf = leaf.clone()
            return leaf.to(self.device, self.dtype) if leaf.is_floating_point() else leaf.to(self.device)

        return tree_map(prepare, tree)


@contextmanager
def differentiating(network: Network) -> Iterator[None]:
    """Let gradients be taken, in the precision of the network, whatever the caller has set."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(network.device.type, enabled=False):
        yield


@contextmanager
def opened(network: Network, *, training: bool) -> Iterator[None]:
    """Open the model of a network for scoring, in the given mode; afterwards it is as it was."""
    model = network.task.model
    assert model is not None  # SaliencyUnstructured.require saw to it
    with unchanged(model), differentiating(network):
        model.train(training)
        for module in model.modules():
            # a user's backward hooks are not ours to run, and torch.func can not differentiate through them
            module._backward_hooks.clear()
            module._backward_pre_hooks.clear()
        yield


def widened(tensor: Tensor, floor: torch.dtype) -> Tensor:
    """A detached copy of ``tensor``, floating-point ones in ``floor`` or a wider type."""
    return tensor.detach().to(wider(tensor, floor), copy=True)


def wider(tensor: Tensor, floor: torch.dtype) -> torch.dtype:
    """The wider type of a tensor's and ``floor``, which is for floating-point ones."""
    return torch.promote_types(tensor.dtype, floor) if tensor.is_floating_point() else tensor.dtype


def _materialised(tensor: Tensor, name: str) -> Tensor:
    if is_lazy(tensor):
        raise ValueError(f"{name}: a lazy parameter has no shape yet; run the model once on an input first")
    if tensor.is_meta:
        raise ValueError(f"{name}: a tensor on the meta device has no values; materialise the model first")
    return tensor
