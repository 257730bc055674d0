"""The loss of a network over data, and its derivatives by the scored weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from torch_synflow._torch.pytree import tree_map
from torch_synflow.scoring.data import batch_size, batches
from torch_synflow.scoring.task import Task, Weights


class Differentiable(ABC):
    """A function of some weights whose loss has means over data, and these have derivatives.

    Attributes:
        task: what the weights are scored with.
        weights: the scored weights by qualified name.
        masks: their boolean masks, by the same names.
        device: where they lie.
    """

    task: Task
    weights: Weights
    masks: dict[str, Tensor]
    device: torch.device

    @abstractmethod
    def __call__(self, weights: Weights, inputs: Any) -> Any:
        """The outputs for prepared inputs."""

    @abstractmethod
    def prepared(self, tree: Any) -> Any:
        """Inputs or targets on the weights' device, the floating ones in the scoring precision."""

    def loss(self, weights: Weights, inputs: Any, targets: Any, *, temperature: float = 1.0) -> Tensor:
        """The loss of a prepared batch, its outputs divided by ``temperature``; checked to be a usable scalar."""
        assert self.task.loss_fn is not None  # SaliencyUnstructured.require saw to it
        outputs = self(weights, inputs)
        if temperature != 1.0:

            def divided(out: Any) -> Any:
                return out / temperature if isinstance(out, Tensor) and out.is_floating_point() else out

            outputs = tree_map(divided, outputs)
        return _scalar(self.task.loss_fn(outputs, targets), "loss_fn")

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

    def leaves(self) -> Weights:
        """The scored weights as leaves of a new autograd graph, on the same memory."""
        return {name: weight.detach().requires_grad_() for name, weight in self.weights.items()}

    def gradient(self, function: Callable[[Weights], Tensor]) -> Weights:
        """The gradient of a scalar function of the scored weights, zero where a mask is.

        Args:
            function: ``function(weights)``, a tensor of one entry; call the network with these weights in it, and
                with inputs that ``prepared`` has made.

        Raises:
            TypeError, ValueError: if it returns no tensor, not one entry, or one that depends on no weight.
        """
        weights = self.leaves()
        return self._masked(gradients([_scalar(function(weights), "function")], weights))

    def mean_gradient(self, data: Iterable[Any], *, temperature: float = 1.0) -> Weights:
        """The gradient of the mean loss over all examples of ``data``, zero where a mask is."""

        def of_batch(index: int, inputs: Any, targets: Any) -> Weights:
            weights = self.leaves()
            loss = self.finite_loss(index, weights, inputs, targets, temperature=temperature)
            return gradients([loss], weights)

        return self.mean_over_examples(data, of_batch)

    def mean_product_with_hessian(self, data: Sequence[Any], *, temperature: float = 1.0) -> Weights:
        """The Hessian of the mean loss over all examples of ``data``, times its gradient, zero where a mask is.

        One batch is passed through the model once, and the graph of its gradient used for both. Several are
        passed through twice, with the same dropout, and only one graph is held at a time.
        """
        whole: Weights | None = None
        if len(data) > 1:
            devices = [self.device.index or 0] if self.device.type == "cuda" else []
            with torch.random.fork_rng(devices=devices):
                whole = self.mean_gradient(data, temperature=temperature)

        def of_batch(index: int, inputs: Any, targets: Any) -> Weights:
            weights = self.leaves()
            loss = self.finite_loss(index, weights, inputs, targets, temperature=temperature)
            gradient = gradients([loss], weights, create_graph=True)
            del loss
            times = self._masked({name: g.detach() for name, g in gradient.items()}) if whole is None else whole
            # where the gradient does not depend on the weights the Hessian is zero
            names = [name for name, g in gradient.items() if g.requires_grad]
            outputs = [gradient.pop(name) for name in names]
            return gradients(outputs, weights, times=[times[name] for name in names])

        return self.mean_over_examples(data, of_batch)

    def mean_over_examples(self, data: Iterable[Any], function: Callable[[int, Any, Any], Weights]) -> Weights:
        """The mean of ``function(index, inputs, targets)`` over prepared batches, weighted by their sizes, masked."""

        def prepared(index: int, inputs: Any, targets: Any) -> Weights:
            return function(index, self.prepared(inputs), self.prepared(targets))

        return self._masked(mean_over_examples(data, prepared))

    def _masked(self, values: Weights) -> Weights:
        """``values`` where a mask is one, zero elsewhere, in new tensors; each old one is let go on the way.

        They have the layout of the weights, where autograd's may have another one that ``view`` refuses.
        """
        return {
            name: torch.mul(values.pop(name).detach(), self.masks[name], out=torch.empty_like(self.weights[name]))
            for name in list(values)
        }


def _scalar(value: Any, name: str) -> Tensor:
    """``value``, the result of a user's function, checked to be one that has a gradient."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a scalar tensor, got {type(value).__name__}")
    if value.numel() != 1:
        raise ValueError(
            f"{name}: expected a scalar, got a tensor of shape {tuple(value.shape)}; "
            'use the mean over the batch (reduction="mean")'
        )
    if not value.requires_grad:
        kind = "loss" if name == "loss_fn" else "scalar"
        raise ValueError(
            f"{name}: expected a {kind} that depends on the model's outputs, got one without a gradient; "
            "leave out detach(), item(), argmax and no_grad"
        )
    return value.reshape(())


def gradients(
    outputs: Sequence[Tensor],
    weights: Weights,
    *,
    times: Sequence[Tensor] | None = None,
    create_graph: bool = False,
) -> Weights:
    """The gradient of the sum of ``outputs * times`` by each of ``weights``, zeros where it does not depend on it.

    By plain autograd: torch.func's ``grad`` always builds the graph of the gradient too, at twice the memory.

    Args:
        outputs: tensors with a graph; scalars where ``times`` is not given.
        weights: leaves of the graph by name.
        times: factors of the outputs' shapes.
        create_graph: whether the gradient is to be differentiated again.

    Example:
        >>> w = torch.tensor([3.0, -2.0], requires_grad=True)
        >>> gradients([(w**2).sum()], {"w": w})
        {'w': tensor([ 6., -4.])}
    """
    if not outputs:
        return {name: torch.zeros_like(weight) for name, weight in weights.items()}
    found = torch.autograd.grad(
        outputs, list(weights.values()), times, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
    if not create_graph:
        found = tuple(gradient.detach() for gradient in found)  # torch 2.2's zeros for what is not used ask for a graph
    return dict(zip(weights, found, strict=True))


def mean_over_examples(data: Iterable[Any], function: Callable[[int, Any, Any], Weights]) -> Weights:
    """The mean of ``function(index, inputs, targets)`` over batches, weighted by their numbers of examples."""
    total: Weights = {}
    first, examples = 0, 0
    for index, (inputs, targets) in enumerate(batches(data)):
        values = function(index, inputs, targets)
        size = batch_size(inputs)
        if not index:
            total, first = values, size  # as they are: one batch needs no second tensor, and no rounding
        else:
            if index == 1:
                total = {name: value * first for name, value in total.items()}
            for name in list(values):
                total[name].add_(values.pop(name), alpha=size)
        examples += size
    return total if examples == first else {name: value.div_(examples) for name, value in total.items()}
