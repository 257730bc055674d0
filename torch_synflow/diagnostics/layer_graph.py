"""Which layer's neurons feed which layer, and the saliency of every parameter: what conservation is stated on.

The model runs once as it is, through autograd; layers are linear and convolution modules, and BatchNorm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from torch_synflow.diagnostics.neurons import by_input, by_output
from torch_synflow.diagnostics.reachability import Readings
from torch_synflow.parameters import held_parameters, resolve, unwrap
from torch_synflow.scoring import Network, opened, positive_input, sum_of_outputs

#: R, a scalar, of what the model returns
Objective = Callable[[Any], Tensor]

#: nodes of autograd that are homogeneous and keep channels apart
_KEEP = frozenset(
    [
        "Add",
        "Sub",
        "Neg",
        "Mul",
        "Div",
        "Relu",
        "LeakyRelu",
        "Threshold",
        "HardtanhBackward",
        "MaxPool1DWithIndices",
        "MaxPool2DWithIndices",
        "MaxPool3DWithIndices",
        "MaxPool2D",
        "MkldnnMaxPool2D",
        "AvgPool1D",
        "AvgPool2D",
        "AvgPool3D",
        "AdaptiveAvgPool1D",
        "AdaptiveAvgPool2D",
        "AdaptiveAvgPool3D",
        "MkldnnAdaptiveAvgPool2D",
        "AdaptiveMaxPool2D",
        "AdaptiveMaxPool3D",
        "Mean",
        "Sum",
        "View",
        "UnsafeView",
        "ReshapeAlias",
        "Clone",
        "Alias",
        "ConstantPadNd",
        "Squeeze",
        "Unsqueeze",
        "Expand",
        "NativeDropout",
        "ToCopy",
        "UpsampleNearest2D",
        "UpsampleBilinear2D",
        "Amax",
        "Max",
        "Maximum",
        "FusedDropout",
        "MulBackward",
    ]
)
#: nodes that are homogeneous but move entries between channels
_MOVE = frozenset(
    [
        "Cat",
        "Stack",
        "Permute",
        "Transpose",
        "T",
        "Slice",
        "Split",
        "SplitWithSizes",
        "Select",
        "Index",
        "Unbind",
        "Flip",
        "Roll",
        "Chunk",
        "Narrow",
        "AsStrided",
        "PixelShuffle",
        "PixelUnshuffle",
        "ChannelShuffle",
        "NativeChannelShuffle",
        "Gather",
        "IndexSelect",
        "Unfold",
        "Im2Col",
    ]
)


@dataclass(eq=False)
class Layer:
    """One module that was called, and the saliency of its parameters.

    Attributes:
        name: qualified name of the module.
        module: the module.
        normalises: whether it is a BatchNorm that uses the statistics of the batch.
        weight: saliency of its weight, zeros for a BatchNorm in evaluation mode.
        bias: saliency of what it adds to each output channel; of scale and shift for one that normalises.
        sources: the layers that its input comes from, and whether it comes from the model's input.
        from_input: whether the model's input arrives past all layers.
        notes: why conservation need not hold between its sources and it.
        moves: operations before it that move entries between channels.
    """

    name: str
    module: nn.Module
    normalises: bool = False
    weight: Tensor | None = None
    bias: Tensor | None = None
    sources: set[int] = field(default_factory=set)
    from_input: bool = False
    notes: list[str] = field(default_factory=list)
    moves: list[str] = field(default_factory=list)

    @property
    def is_norm(self) -> bool:
        """Whether it is a BatchNorm."""
        return isinstance(self.module, _BatchNorm)


@dataclass(frozen=True)
class LayerGraph:
    """The layers of a model in the order of their calls, and what arrives at its outputs.

    Attributes:
        layers: what was called.
        output: a last layer without a module, for the outputs.
        total: ``<dR/dy, y>``.
    """

    layers: list[Layer]
    output: Layer
    total: float


class _Conserving(Readings):
    """Reads all parameters of a model, in float64."""

    dtype: ClassVar[torch.dtype] = torch.float64


@dataclass
class _Call:
    """What autograd knows of a layer: the tensor that went in, the node of what came out, a shift of zeros."""

    layer: Layer
    inputs: Tensor
    shift: Tensor | None = None
    offset: Tensor | None = None


def layer_graph(
    model: nn.Module, example_inputs: Any, objective: Objective | None, *, along_gradient: bool, training: bool
) -> LayerGraph:
    """Run a model and take the saliency of each parameter; see :func:`torch_synflow.diagnostics.conservation`."""
    inner = unwrap(model)
    entries = resolve(list(_resolvable(inner)), inner)
    network = _Conserving.read(model, example_inputs, entries)
    with opened(network, training=training):
        if objective is None:
            network.make_positive()
            objective = sum_of_outputs
            example_inputs = positive_input(example_inputs)
        names = [entry.key for entry in entries]
        leaves = [network.weights[name].requires_grad_() for name in names]
        run = _Run(network, network.prepared(example_inputs), dict(zip(names, leaves, strict=True)))
        key_of = {(id(module), name): e.key for e in entries for module, name in e.locations}
        scored = {
            key
            for module in inner.modules()
            if isinstance(module, (nn.Linear, _ConvNd)) and (key := key_of.get((id(module), "weight")))
        }
        saliency, shifts, total = run.saliency(objective, scored if along_gradient else None)
    for node_calls in run.calls.values():
        for call in node_calls:
            _fill(call, saliency, shifts, key_of)
    return LayerGraph(run.layers, run.output, total)


class _Run:
    """One forward pass with a record of the layers that were called."""

    def __init__(self, network: Network, inputs: Any, leaves: dict[str, Tensor]) -> None:
        self.leaves = leaves
        self.layers: list[Layer] = []
        self.calls: dict[Any, list[_Call]] = {}
        self._known: dict[int, Layer] = {}
        self._parameters = {id(leaf) for leaf in leaves.values()}
        flat, spec = tree_flatten(inputs)
        self._inputs = [
            leaf.clone().requires_grad_() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf
            for leaf in flat
        ]
        self._input_ids = {id(leaf) for leaf in self._inputs if isinstance(leaf, Tensor)}
        handles = []
        for name, module in network.model.named_modules():
            if isinstance(module, (nn.Linear, _ConvNd, _BatchNorm)):
                handles.append(module.register_forward_hook(self._hook(name)))
        try:
            self.outputs = network(leaves, tree_unflatten(self._inputs, spec))
        finally:
            for handle in handles:
                handle.remove()
        self.output = Layer("output", nn.Identity())
        for calls in self.calls.values():
            for call in calls:
                self._trace(call.layer, call.inputs)
        for leaf in tree_leaves(self.outputs):
            if isinstance(leaf, Tensor) and leaf.requires_grad:
                self._trace(self.output, leaf)

    def saliency(self, objective: Objective, scored: set[str] | None) -> tuple[dict[str, Tensor], list[Tensor], float]:
        """Saliency by the name of the parameter, the gradient at the shifts, and ``<dR/dy, y>``."""
        value = objective(self.outputs)
        if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
            raise ValueError(
                "objective: expected a function of the outputs that returns a scalar which depends on them, got "
                f"{tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}"
            )
        shifts = [call.shift for calls in self.calls.values() for call in calls if call.shift is not None]
        at = [*self.leaves.values(), *shifts]
        first = torch.autograd.grad(value, at, create_graph=scored is not None, allow_unused=True, retain_graph=True)
        gradients = [torch.zeros_like(t) if g is None else g for t, g in zip(at, first, strict=True)]
        direction = {
            name: g.detach() for name, g in zip(self.leaves, gradients, strict=False) if name in (scored or ())
        }
        flat, spec = tree_flatten(self.outputs)
        where = [k for k, leaf in enumerate(flat) if isinstance(leaf, Tensor) and leaf.requires_grad]
        ends = [flat[k].detach().requires_grad_() for k in where]
        for k, end in zip(where, ends, strict=True):
            flat[k] = end
        last = torch.autograd.grad(objective(tree_unflatten(flat, spec)), ends, create_graph=True, allow_unused=True)
        product = torch.stack([(g * y).sum() for g, y in zip(last, ends, strict=True) if g is not None]).sum()
        if scored is None:
            saliency = {n: leaf.detach() * g for (n, leaf), g in zip(self.leaves.items(), gradients, strict=False)}
            return saliency, gradients[len(self.leaves) :], float(product.detach())
        slope = torch.stack(
            [(g * direction[n]).sum() for n, g in zip(self.leaves, gradients, strict=False) if n in direction]
        ).sum()
        second = torch.autograd.grad(slope, at, allow_unused=True, retain_graph=True)
        curved = [torch.zeros_like(t) if h is None else h for t, h in zip(at, second, strict=True)]
        saliency = {n: leaf.detach() * h for (n, leaf), h in zip(self.leaves.items(), curved, strict=False)}
        for name, along in direction.items():
            saliency[name] = saliency[name] + along**2
        moved = self._along([tree_leaves(self.outputs)[k] for k in where], direction)
        turned = torch.autograd.grad(product, ends, allow_unused=True)
        total = sum(float((t * m).sum()) for t, m in zip(turned, moved, strict=True) if t is not None)
        return saliency, curved[len(self.leaves) :], total

    def _along(self, outputs: list[Tensor], direction: dict[str, Tensor]) -> list[Tensor]:
        """How the outputs change along a direction of the weights: two reverse passes make a forward one."""
        dummies = [torch.zeros_like(y, requires_grad=True) for y in outputs]
        weighed = torch.stack([(y * d).sum() for y, d in zip(outputs, dummies, strict=True)]).sum()
        names = list(direction)
        back = torch.autograd.grad(weighed, [self.leaves[n] for n in names], create_graph=True, allow_unused=True)
        slope = torch.stack([(b * direction[n]).sum() for n, b in zip(names, back, strict=True) if b is not None]).sum()
        return [
            torch.zeros_like(d) if m is None else m
            for d, m in zip(dummies, torch.autograd.grad(slope, dummies, allow_unused=True), strict=True)
        ]

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            if not (args and isinstance(args[0], Tensor) and isinstance(output, Tensor) and output.requires_grad):
                return None
            layer = self._known.get(id(module))
            if layer is None:
                layer = self._known[id(module)] = Layer(name, module)
                self.layers.append(layer)
            call = _Call(layer, args[0])
            result = None
            if isinstance(module, _BatchNorm):
                layer.normalises = module.training or module.running_mean is None
                if not layer.normalises:
                    call.offset = _offset(module)
                    call.shift = torch.zeros_like(call.offset, requires_grad=True)
                    result = output + call.shift.reshape(-1, *[1] * (output.dim() - 2))
            self.calls.setdefault((output if result is None else result).grad_fn, []).append(call)
            return result

        return hook

    def _trace(self, layer: Layer, tensor: Tensor) -> None:
        """Note which layers ``tensor`` comes from, and what lies between."""
        if id(tensor) in self._input_ids:
            layer.from_input = True
            return
        seen, waiting = {tensor.grad_fn}, [tensor.grad_fn]
        while waiting:
            node = waiting.pop()
            if node is None:
                continue
            if node in self.calls:
                layer.sources.update(id(call.layer) for call in self.calls[node])
                continue
            variable = getattr(node, "variable", None)
            if variable is not None:
                if id(variable) in self._input_ids:
                    layer.from_input = True
                elif id(variable) in self._parameters:
                    layer.notes.append("a parameter of no linear, convolution or BatchNorm layer")
                continue
            name = node.name().rstrip("0123456789").removesuffix("Backward")
            further = [source for source, _ in node.next_functions if source is not None]
            if name in _MOVE:
                layer.moves.append(name)
            elif name not in _KEEP or (name == "Mul" and len(further) > 1):
                layer.notes.append(f"{name} is not known to be homogeneous")
            new = [source for source in further if source not in seen]
            seen.update(new)
            waiting += new


def _fill(call: _Call, saliency: dict[str, Tensor], shifts: list[Tensor], key_of: dict[tuple[int, str], str]) -> None:
    """Give a layer the saliency of its parameters; of one that is called twice the shifts add up."""
    layer, module = call.layer, call.layer.module

    def of(name: str) -> Tensor | None:
        key = key_of.get((id(module), name))
        return None if key is None else saliency[key]

    if call.shift is not None:
        assert call.offset is not None
        added = call.offset.detach() * shifts.pop(0)
        layer.bias = added if layer.bias is None else layer.bias + added
    elif layer.normalises:
        scale, shift = of("weight"), of("bias")
        if scale is None:
            layer.notes.append("BatchNorm without a scale, in training mode")
        else:
            layer.bias = scale if shift is None else scale + shift
    else:
        layer.weight, layer.bias = of("weight"), of("bias")


def incoming(layer: Layer) -> Tensor:
    """The saliency of what leads to each output channel: its weights and its bias."""
    if layer.weight is None:
        assert layer.bias is not None
        return layer.bias.unsqueeze(1)
    parts = [by_output(layer.module, layer.weight)]
    parts += [layer.bias.unsqueeze(1)] if layer.bias is not None else []
    return torch.cat(parts, 1)


def outgoing(layer: Layer) -> Tensor:
    """The saliency of the weights that read each input channel."""
    if layer.weight is None:  # a BatchNorm in training mode does not change with the scale of its input
        assert layer.bias is not None
        return torch.zeros_like(layer.bias).unsqueeze(1)
    return by_input(layer.module, layer.weight)


def _offset(module: _BatchNorm) -> Tensor:
    """What a BatchNorm in evaluation mode adds: ``beta - gamma * mean / std``."""
    assert isinstance(module.running_mean, Tensor)
    assert isinstance(module.running_var, Tensor)
    scale = (module.running_var + module.eps).rsqrt()
    scale = scale if module.weight is None else scale * module.weight.detach()
    offset = -module.running_mean * scale
    return offset if module.bias is None else offset + module.bias.detach()


def _resolvable(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for module, name, _, parameter in held_parameters(model):
        plain = parameter.is_floating_point() and not parametrize.is_parametrized(module, name)
        if plain and not isinstance(module, NonDynamicallyQuantizableLinear):
            yield module, name
