"""The surrogates of activations, normalisation and layers.

A network of positive weights and positively homogeneous operations conserves flow. Homogeneous operations run
unchanged. Each function here is the surrogate of an operation that is not homogeneous.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_synflow.flow.surrogate.call import Call, filled, is_flow, label_of, magnitude, plain, relu

# --- activations and normalisation --------------------------------------------------------------------------


def activation(call: Call) -> Tensor:
    """ReLU, which is the identity on a positive flow."""
    return relu(call.get(0, "input"))


def identity(call: Call) -> Any:
    """The input, for dropout and for casts that lose the gradient."""
    return call.get(0, "input")


def softmax(call: Call) -> Tensor:
    """Each row divided by its own detached sum; a row without flow is uniform."""
    x = relu(call.get(0, "input"))
    dim = call.get(1, "dim", -1)
    dim = -1 if dim is None else dim
    return filled(x, 1.0 / x.shape[dim], x.sum(dim, keepdim=True).expand_as(x))


def _over_rms(x: Tensor, dims: tuple[int, ...], eps: float | None) -> Tensor:
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return x * (x.detach().square().mean(dims, keepdim=True) + eps).rsqrt()


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    x = x if weight is None else x * weight.abs().reshape(shape)
    return x if bias is None else x + bias.abs().reshape(shape)


def layer_norm(call: Call) -> Tensor:
    """``x * |gamma| / rms(x) + |beta|`` over the last dimensions, with a detached root mean square, not centred."""
    x, shape = call.get(0, "input"), call.get(1, "normalized_shape")
    dims = tuple(range(-len(shape), 0))
    rms = call.func in (F.rms_norm, torch.rms_norm)
    bias, eps = (None, call.get(3, "eps")) if rms else (call.get(3, "bias"), call.get(4, "eps", 1e-5))
    return _affine(_over_rms(x, dims, eps), call.get(2, "weight"), bias, tuple(shape))


def group_norm(call: Call) -> Tensor:
    """As :func:`layer_norm`, over the channels of a group and all positions."""
    x, groups = call.get(0, "input"), call.get(1, "num_groups")
    grouped = x.reshape(len(x), groups, -1)
    normed = _over_rms(grouped, (2,), call.get(4, "eps", 1e-5)).reshape(x.shape)
    return _affine(normed, call.get(2, "weight"), call.get(3, "bias"), (1, -1, *[1] * (x.dim() - 2)))


def instance_norm(call: Call) -> Tensor:
    """As :func:`layer_norm`, over all positions of a channel; with running statistics, as batch norm."""
    if not call.get(5, "use_input_stats", True):
        return call.run()  # type: ignore[no-any-return]
    x = call.get(0, "input")
    normed = _over_rms(x, tuple(range(2, x.dim())), call.get(7, "eps", 1e-5))
    return _affine(normed, call.get(3, "weight"), call.get(4, "bias"), (1, -1, *[1] * (x.dim() - 2)))


def batch_norm(call: Call) -> Tensor:
    """An affine layer with running statistics; with those of the batch, as :func:`layer_norm`."""
    if not call.get(5, "training", False):
        # written out, because torch's own has a wrong gradient if only one of input and gradient is channels-last
        x, mean, var = (call.get(k, name) for k, name in enumerate(("input", "running_mean", "running_var")))
        weight, bias = call.get(3, "weight"), call.get(4, "bias")
        scale = (var + call.get(7, "eps", 1e-5)).rsqrt()
        scale = scale if weight is None else scale * weight
        offset = -mean * scale if bias is None else bias - mean * scale
        shape = (-1, *[1] * (x.dim() - 2))
        return torch.addcmul(offset.reshape(shape), x, scale.reshape(shape))
    x = call.get(0, "input")
    normed = _over_rms(x, (0, *range(2, x.dim())), call.get(7, "eps", 1e-5))
    return _affine(normed, call.get(3, "weight"), call.get(4, "bias"), (1, -1, *[1] * (x.dim() - 2)))


def normalize(call: Call) -> Tensor:
    """A vector divided by its own detached length, for cosine attention and local response normalisation."""
    x = relu(call.get(0, "input"))
    with torch.no_grad():
        scaled = call.func(x.detach(), *call.args[1:], **{k: v for k, v in call.kwargs.items() if k != "input"})
    return x * filled(scaled, 0.0, x)


def layer(call: Call) -> Any:
    """A linear map with parameters, unchanged; a constant input is taken in absolute value."""
    x, weight = call.two("weight")
    return call.run(plain(x), weight if is_flow(weight) or _is_leaf(weight) else magnitude(weight))


def _is_leaf(value: Any) -> bool:
    label = label_of(value)
    return label is not None and label.node[0] < 0


def cast(call: Call) -> Any:
    """A cast, but never to a narrower precision, in which the flow would lose digits."""
    x, result = call.get(0, "self"), call.run()
    if not (isinstance(result, Tensor) and result.is_floating_point() and x.is_floating_point()):
        return result
    narrower = torch.finfo(result.dtype).bits < torch.finfo(x.dtype).bits
    return x.to(result.device) if narrower else result


def of_weights(call: Call) -> Any:
    """Weights that a normalisation standardises: divided by a constant size, not centred."""
    x = call.get(0, "input")
    label = label_of(x)
    positive = (label is not None and call.trace.is_weight(label.node)) or bool((x >= 0).all())
    norms = {"batch_norm": batch_norm, "normalize": normalize}
    return norms.get(call.func.__name__, layer_norm)(call) if positive else call.run()


def weight_norm(call: Call) -> Any:
    """Directions times magnitudes, divided by the constant lengths of the directions."""
    direction, magnitudes, dim = (call.get(place, name) for place, name in enumerate(("v", "g", "dim")))
    dims = [d for d in range(direction.dim()) if dim in (-1, None) or d != dim % direction.dim()]
    length = direction.detach().square().sum(dims, keepdim=True).sqrt()
    return direction * (magnitudes / torch.where(length == 0, 1.0, length))


def embedding(call: Call) -> Tensor:
    """Ones, because embedded values are the network's input."""
    return torch.ones_like(call.func(*call.args, **call.kwargs)).detach()


def noise(like: Tensor) -> Tensor:
    """Ones, because random values are an input that is not given."""
    return torch.ones(like.shape, dtype=like.dtype, device=like.device)
