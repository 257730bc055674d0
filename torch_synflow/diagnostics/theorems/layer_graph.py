"""The saliency of every parameter of a model, for a scalar of its outputs or along the gradient of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from torch_synflow._torch.classes import AttentionOutput, Convolution
from torch_synflow._torch.pytree import tree_flatten, tree_leaves, tree_unflatten
from torch_synflow.diagnostics.theorems.forward_pass import ForwardPass, TracedLayer
from torch_synflow.flow.surrogate.objective import sum_of_outputs
from torch_synflow.model.parameters import Entry, ExampleInputs, Pair, held_parameters, resolve, unwrap
from torch_synflow.model.prunable import refuse_sharded
from torch_synflow.reachability.from_inputs import Inspection
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.opening import opened

#: R, a scalar function of the outputs
Objective = Callable[[Any], Tensor]


@dataclass(frozen=True)
class LayerGraph:
    """The layers of a model with the saliency of their parameters, and the saliency at its outputs.

    Attributes:
        layers: the layers that were called, in order.
        end: a last layer without a module, for the outputs.
        total: ``<dR/dy, y>``.
    """

    layers: list[TracedLayer]
    end: TracedLayer
    total: float


class _AllParameters(Inspection):
    """Reads all parameters of a model, in float64."""

    dtype: ClassVar[torch.dtype] = torch.float64


def layer_graph(
    model: nn.Module,
    example_inputs: ExampleInputs,
    objective: Objective | None,
    *,
    along_gradient: bool,
    training: bool,
) -> LayerGraph:
    """Run a model and compute the saliency of each parameter; see :func:`torch_synflow.diagnostics.conservation`."""
    inner = unwrap(model)
    refuse_sharded(inner, "to follow what is conserved")
    entries = resolve(list(_resolvable(inner)), inner)
    if objective is None:
        positive = _AllParameters.positive_network_of(model, example_inputs, entries)
        network: Network = positive
        inputs, objective = positive.inputs, sum_of_outputs
    else:
        network = _AllParameters.network_of(model, example_inputs, entries)
        inputs = network.prepared(example_inputs)

    def run_and_differentiate() -> tuple[ForwardPass, list[Any], list[Tensor], Any]:
        for weight in network.weights.values():
            weight.requires_grad_()
        run = ForwardPass(network, inputs)
        calls = [call for calls in run.calls.values() for call in calls]
        shifts = [call.shift for call in calls if call.shift is not None]
        at = [*network.weights.values(), *shifts]
        scored = [k for k, entry in enumerate(entries) if along_gradient and _is_prunable(entry)]
        return run, calls, at, _slopes(run.outputs, objective, at, scored)

    run, calls, at, (slopes, squares, total) = opened(network, run_and_differentiate, training=training)
    shifts = at[len(entries) :]
    saliency: dict[Pair, Tensor] = {}
    tied: set[nn.Module] = set()
    for k, entry in enumerate(entries):
        value = at[k].detach() * slopes[k]
        value = value + squares[k] if k in squares else value
        saliency.update(dict.fromkeys(entry.locations, value))
        tied.update(module for module, _ in entry.locations if len(entry.locations) > 1)
    of_shift = dict(zip(map(id, shifts), slopes[len(entries) :], strict=True))
    for layer in run.layers:
        layer.notes += ["a tied parameter: sums include all its places"] if layer.module in tied else []
        first, second = saliency.get((layer.module, "weight")), saliency.get((layer.module, "bias"))
        if not layer.is_norm:
            layer.weight, layer.bias = first, second
        elif layer.normalises and first is not None:
            layer.bias = first if second is None else first + second
        elif layer.normalises:
            layer.notes.append("BatchNorm without a scale, in training mode")
    for call in calls:
        if call.shift is not None and call.offset is not None:
            added = call.offset * of_shift[id(call.shift)]
            call.layer.bias = added if call.layer.bias is None else call.layer.bias + added
    return LayerGraph(run.layers, run.end, total)


def _slopes(
    outputs: Any, objective: Objective, at: Sequence[Tensor], scored: Sequence[int]
) -> tuple[list[Tensor], dict[int, Tensor], float]:
    """The parts of saliencies, ``parameter * slope + square``, and ``<dR/dy, y>``.

    The slope is the gradient, and there are no squares. If tensors are ``scored``, all parts are derivatives along
    their gradient ``g``: the slope is ``H g``, and the squares are those of ``g``.
    """
    value = objective(outputs)
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"objective: expected a function of the outputs that returns a scalar that depends on them, got {got}"
        )
    gradient = _gradient(value, at, create_graph=bool(scored))
    leaves, spec = tree_flatten(outputs)
    where = [k for k, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.requires_grad]
    ends = [leaves[k].detach().requires_grad_() for k in where]
    for k, end in zip(where, ends, strict=True):
        leaves[k] = end
    last = _gradient(objective(tree_unflatten(leaves, spec)), ends, create_graph=True)
    total = _dot(last, ends)
    if not scored:
        return gradient, {}, float(total.detach())
    direction = {k: gradient[k].detach() for k in scored}
    curvature = _gradient(_dot([gradient[k] for k in scored], list(direction.values())), at)
    # the change of the outputs along the direction: two reverse passes make a forward one
    weighs = [torch.zeros_like(end, requires_grad=True) for end in ends]
    plain = tree_leaves(outputs)
    back = _gradient(_dot([plain[k] for k in where], weighs), [at[k] for k in scored], create_graph=True)
    moves = _gradient(_dot(back, list(direction.values())), weighs)
    turned = _gradient(total, ends)
    squares = {k: g**2 for k, g in direction.items()}
    return curvature, squares, float(_dot(turned, moves))


def _gradient(value: Tensor, at: Sequence[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    """The gradient, zero where ``value`` does not depend on a tensor."""
    if not value.requires_grad:
        return [torch.zeros_like(tensor) for tensor in at]
    found = torch.autograd.grad(value, at, create_graph=create_graph, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(at, found, strict=True)]


def _dot(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(first, second, strict=True)]).sum()


def _is_prunable(entry: Entry) -> bool:
    return any(isinstance(module, (nn.Linear, Convolution)) and name == "weight" for module, name in entry.locations)


def _resolvable(model: nn.Module) -> Iterator[Pair]:
    for module, name, _, parameter in held_parameters(model):
        plain = parameter.is_floating_point() and not parametrize.is_parametrized(module, name)
        if plain and not isinstance(module, AttentionOutput):
            yield module, name
