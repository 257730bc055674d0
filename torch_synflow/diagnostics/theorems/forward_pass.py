"""The layers that each layer reads, from one forward pass of the model and autograd's record of it.

Layers are linear and convolution modules, and BatchNorm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow._torch.classes import BatchNorm, Convolution
from torch_synflow._torch.nodes import leaf_of, operation_of
from torch_synflow._torch.pytree import tree_leaves, tree_map
from torch_synflow.diagnostics.neurons import by_input, by_output
from torch_synflow.flow.surrogate.operations import words
from torch_synflow.scoring.network import Network

#: homogeneous nodes of autograd that keep channels apart
_KEEP = words(
    "Add Sub Neg Mul Div Relu LeakyRelu Threshold MaxPool1DWithIndices MaxPool2DWithIndices MaxPool3DWithIndices "
    "MaxPool2D MkldnnMaxPool2D AvgPool1D AvgPool2D AvgPool3D AdaptiveAvgPool1D AdaptiveAvgPool2D AdaptiveAvgPool3D "
    "MkldnnAdaptiveAvgPool2D AdaptiveMaxPool2D AdaptiveMaxPool3D Mean Sum View UnsafeView ReshapeAlias Clone Alias "
    "ConstantPadNd Squeeze Unsqueeze Expand NativeDropout FusedDropout ToCopy UpsampleNearest2D UpsampleBilinear2D "
    "Amax Max Maximum"
)
#: homogeneous nodes that move elements between channels
_MOVE = words(
    "Cat Stack Permute Transpose T Slice Split SplitWithSizes Select Index Unbind Flip Roll AsStrided PixelShuffle "
    "PixelUnshuffle NativeChannelShuffle Gather IndexSelect Unfold Im2Col"
)


@dataclass(eq=False)
class TracedLayer:
    """A module that was called, the sources of its input, and the saliency of its parameters.

    Attributes:
        name: qualified name of the module.
        module: the module.
        normalises: whether it is a BatchNorm that uses the statistics of the batch.
        sources: the layers that its input comes from.
        from_input: whether the model's input arrives past all layers.
        notes: reasons why conservation need not hold between the sources and this layer.
        moves: operations before it that move elements between channels.
        weight: saliency of its weight, ``None`` for a BatchNorm.
        bias: saliency of the term that it adds to each output channel, or of scale and shift if it normalises.
    """

    name: str
    module: nn.Module
    normalises: bool = False
    sources: list[TracedLayer] = field(default_factory=list)
    from_input: bool = False
    notes: list[str] = field(default_factory=list)
    moves: list[str] = field(default_factory=list)
    weight: Tensor | None = None
    bias: Tensor | None = None

    @property
    def is_norm(self) -> bool:
        """Whether the layer is a BatchNorm."""
        return isinstance(self.module, BatchNorm)

    @property
    def passes(self) -> bool:
        """Whether its input passes through, scaled, as in a BatchNorm in evaluation mode."""
        return self.is_norm and not self.normalises

    def incoming(self) -> Tensor:
        """Saliency of the weights and the bias of each output channel, ``(channels, parameters)``."""
        parts = [] if self.weight is None else [by_output(self.module, self.weight)]
        parts += [] if self.bias is None else [self.bias.unsqueeze(1)]
        return torch.cat(parts, 1)

    def outgoing(self) -> Tensor:
        """Saliency of the weights that read each input channel, ``(channels, weights)``."""
        if self.weight is not None:
            return by_input(self.module, self.weight)
        assert self.bias is not None
        return torch.zeros_like(self.bias).unsqueeze(1)  # a BatchNorm in training mode ignores the scale of its input


@dataclass
class ModuleCall:
    """One call of a layer.

    Attributes:
        layer: the layer that was called.
        offset: the term that a BatchNorm in evaluation mode adds to each channel.
        shift: zeros added to its output, at which the gradient is taken.
    """

    layer: TracedLayer
    offset: Tensor | None = None
    shift: Tensor | None = None


class ForwardPass:
    """One forward pass of a network.

    Attributes:
        layers: the layers that were called, in order.
        calls: the call behind each autograd node that is the output of a layer.
        outputs: the outputs of the model.
        end: a last layer without a module, for the outputs.
    """

    def __init__(self, network: Network, inputs: Any) -> None:
        self.layers: list[TracedLayer] = []
        self.calls: dict[Any, list[ModuleCall]] = {}
        self._known: dict[int, TracedLayer] = {}
        self._arrivals: list[tuple[TracedLayer, Any]] = []
        self._parameters = {id(weight) for weight in network.weights.values()}
        self._inputs: set[int] = set()
        handles = [
            module.register_forward_hook(self._hook(name))
            for name, module in network.model.named_modules()
            if isinstance(module, (nn.Linear, Convolution, BatchNorm))
        ]
        try:
            self.outputs = network(network.weights, tree_map(self._marked, inputs))
        finally:
            for handle in handles:
                handle.remove()
        self.end = TracedLayer("output", nn.Identity())
        for leaf in tree_leaves(self.outputs):
            if isinstance(leaf, Tensor) and leaf.requires_grad:
                self._arrivals.append((self.end, leaf.grad_fn))
        for layer, node in self._arrivals:
            self._trace(layer, node)

    def _marked(self, leaf: Any) -> Any:
        """An input that autograd tracks."""
        if not (isinstance(leaf, Tensor) and leaf.is_floating_point()):
            return leaf
        root = leaf.detach().clone().requires_grad_()
        self._inputs.add(id(root))
        return root.clone()  # holds ``root``, and may be written to

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            if not (args and isinstance(args[0], Tensor) and isinstance(output, Tensor) and output.requires_grad):
                return None
            layer = self._known.get(id(module))
            if layer is None:
                layer = self._known[id(module)] = TracedLayer(name, module)
                self.layers.append(layer)
            # noted now, as an operation in place may follow
            self._arrivals.append((layer, args[0].grad_fn))
            call, result = ModuleCall(layer), None
            if isinstance(module, BatchNorm):
                layer.normalises = module.training or module.running_mean is None
                if not layer.normalises:
                    call.offset = _offset(module)
                    call.shift = torch.zeros_like(call.offset, requires_grad=True)
                    result = output + call.shift.reshape(-1, *[1] * (output.dim() - 2))
            self.calls.setdefault((output if result is None else result).grad_fn, []).append(call)
            return result

        return hook

    def _trace(self, layer: TracedLayer, arrived: Any) -> None:
        """Note the layers that lead to an autograd node, and the operations between."""
        seen, waiting = {arrived}, [arrived]
        while waiting:
            node = waiting.pop()
            if node is None:
                continue
            if node in self.calls:
                layer.sources += [c.layer for c in self.calls[node] if c.layer not in layer.sources]
                continue
            variable = leaf_of(node)
            if variable is not None:
                layer.from_input = layer.from_input or id(variable) in self._inputs
                if id(variable) in self._parameters:
                    layer.notes.append("a parameter of no linear, convolution or BatchNorm layer")
                continue
            name = operation_of(node)
            further = [source for source, _ in node.next_functions if source is not None]
            if name in _MOVE:
                layer.moves.append(name)
            elif name not in _KEEP or (name in ("Mul", "Div") and len(further) > 1):
                layer.notes.append(f"{name} is not known to be homogeneous")
            new = [source for source in further if source not in seen]
            seen.update(new)
            waiting += new


def _offset(module: BatchNorm) -> Tensor:
    """The term that a BatchNorm in evaluation mode adds: ``beta - gamma * mean / std``."""
    assert isinstance(module.running_mean, Tensor)
    assert isinstance(module.running_var, Tensor)
    scale = (module.running_var + module.eps).rsqrt()
    scale = scale if module.weight is None else scale * module.weight.detach()
    offset = -module.running_mean * scale
    return offset if module.bias is None else offset + module.bias.detach()
