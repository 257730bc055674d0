"""A model as a pure function of the scored weights, by ``functional_call``, and its derivatives."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from copy import copy as shallow_copy
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.func import functional_call

from torch_synflow._torch.checkpointing import NoCheckpoints
from torch_synflow._torch.pytree import tree_map
from torch_synflow.model.layout import is_sharded, part_of
from torch_synflow.model.parameters import Entry, unwrap
from torch_synflow.model.prunable import refuse_scripted, refuse_sharded
from torch_synflow.model.randomness import Draws
from torch_synflow.scoring.data import loss_of_batch
from torch_synflow.scoring.gradients import as_leaves, as_scalar, gradients, mean_over_examples
from torch_synflow.scoring.inputs import as_dicts, called_with, moved
from torch_synflow.scoring.notes import note_on_call, noting
from torch_synflow.scoring.outputs import CountedOutputs
from torch_synflow.scoring.precision import materialised, widened
from torch_synflow.scoring.second_derivatives import TwiceDifferentiable, without_second_derivative
from torch_synflow.scoring.task import Task, Weights
from torch_synflow.selection.survivors import Survivors

if TYPE_CHECKING:
    from typing_extensions import Self

_log = logging.getLogger("torch_synflow")


class Network:
    """A model as a pure function of some of its weights.

    Everything that the forward pass can reach is a copy in the scoring precision, so the pass cannot change the model.

    Attributes:
        task: the model, inputs and data for scoring.
        model: the model without its wrapper.
        weights: the scored weights by qualified name, ``name_orig * name_mask``.
        masks: their boolean masks, by the same names.
        unpruned: whether all masks are all true.
        dense: ``weights`` themselves, or the weights at the start of the call if pruned ones may return.
        unused: the names of weights that the outputs do not depend on in this mode, as far as a method has found.
        dtype: the precision to which inputs are cast.
        device: the device of the scored weights.
        saved_by: hooks that pack and unpack the tensors that autograd saves; empty for none.
    """

    #: whether the rest of the model does not read the outputs of submodules that count
    counted_alone: ClassVar[bool] = False

    def __init__(
        self,
        task: Task,
        entries: Sequence[Entry],
        masks: Sequence[Tensor],
        floor: torch.dtype,
        *,
        floor_of_weights: torch.dtype | None = None,
    ) -> None:
        assert task.model is not None  # checked by SaliencyUnstructured.require
        self.task = task
        self.model = unwrap(task.model)
        refuse_scripted(self.model)
        if task.shards is None:
            refuse_sharded(self.model, "to score, count or follow")
        self._counted = None if task.outputs is None else CountedOutputs(self.model, task.outputs)
        self.device = entries[0].parameter.device
        self.masks = {entry.key: mask for entry, mask in zip(entries, masks, strict=True)}
        self.weights = {
            entry.key: widened(entry.parameter, floor_of_weights or floor).masked_fill_(~mask, 0)
            for entry, mask in zip(entries, masks, strict=True)
        }
        self.dense = self.weights
        self.unused: set[str] = set()
        self._others = {
            name: widened(part_of(materialised(parameter, name)), floor)
            for name, parameter in self.model.named_parameters()
            if name not in self.weights
        }
        self._buffers = {
            name: widened(materialised(buffer, name), floor)
            for name, buffer in self.model.named_buffers()
            if not is_sharded(buffer)  # a mask, which is already in the weights
        }
        self._constants = [
            (module, name, widened(value, floor))
            for module in self.model.modules()
            for name, value in module.__dict__.items()
            if isinstance(value, Tensor) and f"{name}_orig" not in module._parameters
        ]
        self._call: Callable[..., Any] = functional_call if task.shards is None else task.shards.call
        self.saved_by = () if task.shards is None else (task.shards.pack, task.shards.unpack)
        floating = [t.dtype for t in (*self.weights.values(), *self._others.values()) if t.is_floating_point()]
        self.dtype = max(floor, *floating, key=lambda dtype: torch.finfo(dtype).bits)
        self.unpruned = all(bool(mask.all()) for mask in masks)
        if task.shards is not None:  # on all processes
            self.unpruned = len(task.shards.zero_throughout({n: ~m for n, m in self.masks.items()})) == len(self.masks)

    def __call__(self, weights: Weights, inputs: Any) -> Any:
        """The model's outputs with ``weights`` in place of its own; tuples and mappings of inputs are unpacked.

        A forward that writes to its inputs writes to copies.
        """
        with NoCheckpoints(*self.saved_by):
            if self._counted is None:
                return self._run(weights, inputs)
            return self._counted.of(lambda: self._run(weights, inputs), alone=self.counted_alone)

    def _run(self, weights: Weights, inputs: Any) -> Any:
        inputs = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, inputs)
        # cloned in each pass, because it writes to some (BatchNorm's counters)
        for module, name, constant in self._constants:
            module.__dict__[name] = constant.clone()
        state = {**self._others, **{name: buffer.clone() for name, buffer in self._buffers.items()}, **weights}
        args, kwargs = called_with(self.model, inputs)
        return noting(lambda error: self._note(inputs, error), lambda: self._call(self.model, state, args, kwargs))

    def _note(self, inputs: Any, error: Exception) -> str:
        """The note that is added to an error of the model."""
        if self.task.data is None:
            return note_on_call(self.model, "example_inputs", self.task.example_inputs, inputs, error)
        return note_on_call(self.model, "data", inputs, inputs, error)

    def copy(self) -> Self:
        """The same network with its own copy of the weights."""
        other = shallow_copy(self)
        other.weights = {name: weight.clone() for name, weight in self.weights.items()}
        return other

    def apply_masks(self, survivors: Survivors) -> None:
        """Set the weights to zero that are not survivors."""
        self.unpruned = False
        self.masks = dict(zip(self.weights, survivors.masks, strict=True))
        for name, weight in self.weights.items():
            torch.mul(weight, self.masks[name].view(torch.uint8), out=weight)  # far quicker than a choice

    def mask_dense(self, survivors: Survivors) -> None:
        """Set the weights to the dense ones under the new masks, if pruned weights may return."""
        self.unpruned = False
        self.weights = {n: w * mask for (n, w), mask in zip(self.dense.items(), survivors.masks, strict=True)}

    def prepared(self, tree: Any) -> Any:
        """Inputs or targets on the device of the weights, with floating-point ones in the scoring precision."""
        return tree_map(lambda leaf: moved(leaf, self.device, self.dtype), as_dicts(tree))

    def loss(self, weights: Weights, inputs: Any, targets: Any, *, temperature: float = 1.0) -> Tensor:
        """The loss of a prepared batch, with outputs divided by ``temperature``, checked to be a usable scalar."""
        outputs = self(weights, inputs)
        if temperature != 1.0 and self.task.loss_fn is None:
            raise ValueError(
                f"loss_fn: expected a function loss_fn(outputs, targets), got none; the method divides outputs by "
                f"{temperature:g}, and the model's own loss uses undivided outputs"
            )
        if temperature != 1.0:

            def divided(out: Any) -> Any:
                return out / temperature if isinstance(out, Tensor) and out.is_floating_point() else out

            outputs = tree_map(divided, outputs)
        return as_scalar(loss_of_batch(self.task.loss_fn, outputs, targets), "loss_fn")

    def finite_loss(
        self, index: int, weights: Weights, inputs: Any, targets: Any, *, temperature: float = 1.0
    ) -> Tensor:
        """The loss of prepared batch ``index``; raises ``ValueError`` if it is NaN or infinite."""
        loss = self.loss(weights, inputs, targets, temperature=temperature)
        if not bool(torch.isfinite(loss)):
            raise ValueError(
                f"data: expected a finite loss, got {float(loss.detach())} for batch {index}; look for NaN or infinite "
                "inputs, targets out of range, or weights that overflow"
            )
        return loss

    def gradient(self, function: Callable[[Weights], Tensor]) -> Weights:
        """The gradient of a scalar function of the scored weights, zero where a weight is pruned.

        Args:
            function: a function ``function(weights)`` that returns a tensor of one element. In it, call the network
                with these weights and with inputs from ``prepared``.

        Raises:
            TypeError, ValueError: if it does not return a tensor of one element that depends on a weight.
        """
        weights = as_leaves(self.weights)
        return self._masked(gradients([as_scalar(function(weights), "function")], weights))

    def mean_gradient(self, data: Iterable[Any], *, temperature: float = 1.0) -> Weights:
        """The gradient of the mean loss over all examples of ``data``, zero where a weight is pruned."""

        def of_batch(index: int, inputs: Any, targets: Any) -> Weights:
            weights = as_leaves(self.weights)
            return gradients([self.finite_loss(index, weights, inputs, targets, temperature=temperature)], weights)

        return self.mean_over_examples(data, of_batch)

    def mean_product_with_hessian(self, data: Sequence[Any], *, temperature: float = 1.0) -> Weights:
        """The Hessian of the mean loss over all examples of ``data`` times its gradient, zero where a weight is pruned.

        One batch passes through the model once, and both derivatives use its graph. Several batches pass twice, with
        the same dropout, and only one graph is held at a time.
        """
        whole: Weights | None = None
        if len(data) > 1 or self.task.add_up is not None:
            devices = [self.device.index or 0] if self.device.type == "cuda" else []
            draws = Draws()
            with torch.random.fork_rng(devices=devices):
                whole = self.mean_gradient(data, temperature=temperature)
            if sources := draws.sources():  # torch's own sources are restored, so they are not among these
                _log.info("GraSP passes batches twice, with different random numbers of %s", " and ".join(sources))

        def of_batch(index: int, inputs: Any, targets: Any) -> Weights:
            weights = as_leaves(self.weights)
            with TwiceDifferentiable():
                loss = self.finite_loss(index, weights, inputs, targets, temperature=temperature)
            gradient = gradients([loss], weights, create_graph=True)
            del loss
            times = self._masked({name: g.detach() for name, g in gradient.items()}) if whole is None else whole
            # if the gradient does not depend on the weights, the Hessian is zero
            names = [name for name, g in gradient.items() if g.requires_grad]
            outputs = [gradient.pop(name) for name in names]
            try:
                return gradients(outputs, weights, times=[times[name] for name in names])
            except RuntimeError as error:
                raise without_second_derivative(error) or error from error

        return self.mean_over_examples(data, of_batch)

    def mean_over_examples(self, data: Iterable[Any], function: Callable[[int, Any, Any], Weights]) -> Weights:
        """The masked mean of ``function(index, inputs, targets)`` over prepared batches, weighted by their sizes."""

        def prepared(index: int, inputs: Any, targets: Any) -> Weights:
            return function(index, self.prepared(inputs), self.prepared(targets))

        return self._masked(mean_over_examples(data, prepared, self.task.add_up))

    def _masked(self, values: Weights) -> Weights:
        """``values`` where a mask is one and zero elsewhere, in new tensors; each old tensor is released.

        They have the layout of the weights. Autograd's tensors may have another layout, which ``view`` refuses.
        """
        return {
            name: torch.mul(values.pop(name).detach(), self.masks[name], out=torch.empty_like(self.weights[name]))
            for name in list(values)
        }
