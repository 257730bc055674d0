"""Scoring: a model read as a pure function of the weights that are scored, by ``torch.func``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves, tree_map

from torch_synflow.channels import Channels, LeaveOutDeadChannels, channels_of
from torch_synflow.gradients import Differentiable
from torch_synflow.parameters import Entry, unwrap
from torch_synflow.task import Task, Weights
from torch_synflow.transaction import unchanged


class Network(Differentiable):
    """A model as a pure function of some of its weights.

    Everything that the forward pass can reach is a copy in the scoring precision, so that nothing it does
    arrives at the model.

    Attributes:
        task: what the weights are scored with.
        model: the model without its wrapper.
        weights: the scored weights by qualified name, ``name_orig * name_mask``.
        masks: their boolean masks, by the same names.
        dense: ``weights`` themselves, but those that the call began with where pruned ones may return.
        unused: the names of those that the outputs do not depend on in this mode, as far as a method found out.
        dtype: the precision that inputs are cast to.
        device: where the scored weights lie.
    """

    def __init__(self, task: Task, entries: Sequence[Entry], masks: Sequence[Tensor], floor: torch.dtype) -> None:
        assert task.model is not None  # SaliencyUnstructured.require saw to it
        self.task = task
        self.model = unwrap(task.model)
        self.device = entries[0].parameter.device
        self.masks = {entry.key: mask for entry, mask in zip(entries, masks, strict=True)}
        self.weights = {
            entry.key: entry.parameter.detach().to(_wider(entry.parameter, floor)) * mask
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
        self.dtype = max(floating, key=lambda dtype: torch.finfo(dtype).bits)
        self._read_as_ones: list[str] | None = None
        self.dead_channels = LeaveOutDeadChannels()
        self._channels: dict[str, Channels | None] = {}
        self._kept = {name: weight.numel() // 2 for name, weight in self.weights.items()}

    def __call__(self, weights: Weights, inputs: Any) -> Any:
        """The model's outputs with ``weights`` in place of its own: tuples and mappings of inputs are spread."""
        # cloned inside, as a transform of torch.func must own what a forward writes to (BatchNorm's counters)
        for module, name, constant in self._constants:
            module.__dict__[name] = constant.clone()
        state = {**self._others, **{name: buffer.clone() for name, buffer in self._buffers.items()}, **weights}
        self.dead_channels.living = {id(weights[name]): living for name, living in self._channels.items() if living}
        if isinstance(inputs, Mapping):
            return functional_call(self.model, state, (), dict(inputs))
        return functional_call(self.model, state, tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,))

    def make_positive(self) -> list[str]:
        """Take absolute values of all parameters and of the running means of BatchNorm, as SynFlow reads them.

        A tensor that is zero throughout (a head or a gamma that is initialised so) cuts every path through it;
        it is read as ones, under its mask. Biases, tokens and positions, which are added, stay zero.

        Returns:
            The names of those read as ones.
        """
        if self._read_as_ones is not None:
            return self._read_as_ones
        zeros = [name for name, parameter in self.model.named_parameters() if _scales(name) and _is_zero(parameter)]
        self._read_as_ones = zeros
        for name in zeros:
            if name in self.weights:
                self.weights[name].copy_(self.masks[name])
            else:
                self._others[name].fill_(1)
        for tensor in (*self.weights.values(), *self._others.values()):
            if tensor.is_floating_point():
                tensor.abs_()
        for prefix, module in self.model.named_modules():
            if isinstance(module, _BatchNorm):
                name = f"{prefix}.running_mean" if prefix else "running_mean"
                if name in self._buffers:
                    self._buffers[name] = self._buffers[name].abs()
        return zeros

    def leave(self, kept: Sequence[Tensor]) -> None:
        """Set ``weights`` to the ``dense`` ones under other masks, where pruned ones may return."""
        pairs = zip(self.dense.items(), kept, strict=True)
        self.weights = {name: weight * mask for (name, weight), mask in pairs}

    def remove(self, gone: Sequence[Tensor], kept: Sequence[Tensor | None]) -> None:
        """Set scored weights to zero where their masks have become so: at the flat indices that went.

        What is ``kept`` says which channels are dead. They are looked for when a fifth more entries have gone,
        as channels that have died since then are only computed in vain.
        """
        for (name, weight), went, indices in zip(self.weights.items(), gone, kept, strict=True):
            if weight.is_contiguous():
                weight.view(-1).index_fill_(0, went, 0)
            else:
                weight.mul_(self.masks[name])
            if indices is not None and weight.dim() > 1 and indices.numel() <= self._kept[name]:
                self._kept[name] = int(0.8 * indices.numel())
                self._channels[name] = channels_of(indices, weight.shape)

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
def opened(network: Network, *, training: bool) -> Iterator[None]:
    """Open the model of a network for scoring, in the given mode; afterwards it is as it was."""
    model = network.task.model
    assert model is not None  # SaliencyUnstructured.require saw to it
    with (
        unchanged(model),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(network.device.type, enabled=False),
        network.dead_channels,
    ):
        model.train(training)
        for module in model.modules():
            # a user's backward hooks are not ours to run, and torch.func can not differentiate through them
            module._backward_hooks.clear()
            module._backward_pre_hooks.clear()
        yield


def positive_input(example_inputs: Any) -> Any:
    """One example of ones in the shape of ``example_inputs``; integers and booleans (token ids, masks) as given."""

    def one(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        example = leaf[:1] if leaf.dim() else leaf
        return torch.ones_like(example) if example.is_floating_point() else example

    if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(example_inputs)):
        raise TypeError(
            "example_inputs: expected a tensor, or a tuple or mapping of what the model is called with, "
            f"got {type(example_inputs).__name__} without a tensor; torch.ones(1, 3, 32, 32) for example"
        )
    return tree_map(one, example_inputs)


def sum_of_outputs(outputs: Any) -> Tensor:
    """R: the sum of every floating-point tensor that a model returns."""
    tensors = [leaf for leaf in tree_leaves(outputs) if _is_floating(leaf)]
    if not tensors:
        raise TypeError(
            f"model: expected outputs that hold a floating-point tensor, got {type(outputs).__name__} without one"
        )
    return torch.stack([tensor.sum() for tensor in tensors]).sum()


def widened(tensor: Tensor, floor: torch.dtype) -> Tensor:
    """A detached copy of ``tensor``, floating-point ones in ``floor`` or a wider type."""
    return tensor.detach().to(_wider(tensor, floor), copy=True)


def _wider(tensor: Tensor, floor: torch.dtype) -> torch.dtype:
    return torch.promote_types(tensor.dtype, floor) if tensor.is_floating_point() else tensor.dtype


def _scales(name: str) -> bool:
    """Whether a parameter of this name multiplies, as weights and gammas do, rather than being added."""
    return not any(word in name.rpartition(".")[2] for word in ("bias", "token", "pos"))


def _is_zero(tensor: Tensor) -> bool:
    """Whether every entry is zero; most tensors are told by their first one."""
    return not bool(tensor[(0,) * tensor.dim()] if tensor.numel() else True) and not bool(tensor.any())


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _materialised(tensor: Tensor, name: str) -> Tensor:
    if is_lazy(tensor):
        raise ValueError(f"{name}: a lazy parameter has no shape yet; run the model once on an input first")
    if tensor.is_meta:
        raise ValueError(f"{name}: a tensor on the meta device has no values; materialise the model first")
    return tensor
