"""The cells of operations on single elements, of pooling, and of sums and products of tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from torch_synflow.compact.nodes import Product, Sum
from torch_synflow.compact.tracer import Operation, Rule, Tracer

#: operations that map zeros to zeros; pooling takes elements of one channel
KEEPS_ZERO = (
    "gelu", "silu", "mish", "hardswish", "tanh", "leaky_relu", "elu", "celu", "selu", "softsign", "tanhshrink", "neg",
    "abs", "square", "sin", "asinh", "erf",
)  # fmt: skip
POOLING = tuple(
    f"{kind}{dimensions}d"
    for kind in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "lp_pool")
    for dimensions in (1, 2, 3)
)
#: operations that give each place a different value
RANDOM = ("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "stochastic_depth")
#: operations whose gradient is also zero at zero
BLOCKS = ("relu", "relu6")
OF_ZERO_NOT = ("sigmoid", "hardsigmoid", "softplus", "exp", "logsigmoid", "cos", "rsqrt", "reciprocal")


def _unary(*, keeps_zero: bool, blocks: bool = False) -> Rule:
    def rule(tracer: Tracer, call: Operation) -> bool:
        even = call.name.rstrip("_") not in RANDOM
        cells = tracer.of(call.args[0] if call.args else call.kwargs["input"])
        cells = tracer.pointwise(cells, keeps_zero=keeps_zero, blocks=blocks, even=even)
        tracer.put(call.result, cells)
        return True

    return rule


def power(tracer: Tracer, call: Operation) -> bool:
    """A number as exponent, which keeps zeros if it is over one."""
    exponent = call.get(1, "exponent")
    if not isinstance(exponent, (int, float)) or exponent <= 1:
        return False
    tracer.put(call.result, tracer.pointwise(tracer.of(call.args[0]), even=True))
    return True


def hardtanh(tracer: Tracer, call: Operation) -> bool:
    """Zero at zero if zero is in its range; ReLU6 if the range begins at zero."""
    low, high = call.get(1, "min_val", -1.0), call.get(2, "max_val", 1.0)
    tracer.put(call.result, tracer.pointwise(tracer.of(call.args[0]), keeps_zero=low <= 0 <= high, blocks=low == 0,
                                            even=True))  # fmt: skip
    return True


def pooling(tracer: Tracer, call: Operation) -> bool:
    """Channels stay channels."""
    source = call.args[0] if call.args else call.kwargs["input"]
    space = int(call.name.rstrip("_")[-2]) if call.name != "interpolate" else source.dim() - 2
    cells = tracer.uniform(tracer.of(source), tuple(range(-space, 0)))
    if cells is None or not isinstance(call.result, Tensor):
        return False
    # averages include padding zeros
    even = call.name.startswith(("max_pool", "adaptive")) or (
        call.name.startswith("avg") and not call.get(3, "padding", 0)
    )
    tracer.put(call.result, tracer.pointwise(cells, even=even))
    return True


def reduction(tracer: Tracer, call: Operation) -> bool:
    """Over space or tokens; a sum over channels depends on how many there are."""
    dims = call.get(1, "dim")
    source = call.args[0]
    if dims is None or not isinstance(call.result, Tensor):
        return False
    axes = tuple(d % source.dim() for d in (dims if isinstance(dims, (tuple, list)) else [dims]))
    cells = tracer.uniform(tracer.of(source), axes)
    if cells is None:
        return False
    cells = tracer.pointwise(cells, even=call.name == "mean")
    if call.result.dim() < source.dim():
        for axis in sorted(axes, reverse=True):
            cells = cells.squeeze(axis)
    tracer.put(call.result, cells)
    return True


def softmax(tracer: Tracer, call: Operation) -> bool:
    """Along an axis on which channels do not lie."""
    axis, cells = call.get(1, "dim"), tracer.of(call.args[0])
    if axis is None or cells.shape[axis] != 1:
        return False
    tracer.put(call.result, tracer.pointwise(cells, keeps_zero=False))
    return True


def _varied(cells: Tensor, dims: int) -> set[int]:
    return {axis + dims - cells.dim() for axis, size in enumerate(cells.shape) if size > 1}


def _sizes(tensor: Tensor, dims: int) -> tuple[int, ...]:
    return (1,) * (dims - tensor.dim()) + tuple(tensor.shape)


def _binary(*, product: bool) -> Rule:
    def rule(tracer: Tracer, call: Operation) -> bool:
        first, second = call.get(0, "input"), call.get(1, "other")
        if not isinstance(call.result, Tensor):
            return False
        if not (isinstance(first, Tensor) and isinstance(second, Tensor)):
            return _with_number(tracer, call, first, second, product=product)
        dims = call.result.dim()
        a, b = tracer.of(first), tracer.of(second)
        varied_a, varied_b = _varied(a, dims), _varied(b, dims)
        sizes_a, sizes_b = _sizes(first, dims), _sizes(second, dims)
        if call.name.strip("_") in ("div", "truediv", "idiv", "itruediv") and b.numel():
            tracer.sink(b, f"a divisor in {tracer.module}")
        for one, other, varied, sizes in ((a, b, varied_a, sizes_b), (b, a, varied_b, sizes_a)):
            fixed = [axis - dims for axis in sorted(varied) if sizes[axis] > 1]
            if other.numel() == 1 and len(fixed) < len(varied):
                # one number for all channels, such as a gate of the whole image, or for all heads, such as rotation
                tracer.together(one, fixed)
                tracer.sink(other, f"one value for all channels in {tracer.module}")
                tracer.put(call.result, tracer.pointwise(one, keeps_zero=product))
                return True
        if any(sizes_b[axis] == 1 and call.result.shape[axis] > 1 for axis in varied_a) or any(
            sizes_a[axis] == 1 and call.result.shape[axis] > 1 for axis in varied_b
        ):
            return False  # an outer product
        tracer.put(call.result, _together(tracer, a, b, product=product))
        return True

    return rule


def _together(tracer: Tracer, a: Tensor, b: Tensor, *, product: bool) -> Tensor:
    a, b = torch.broadcast_tensors(a, b)
    pairs, inverse = torch.stack([a.reshape(-1), b.reshape(-1)]).unique(dim=1, return_inverse=True)
    target = tracer.cells.new(pairs.shape[1])
    tracer.add(Product(pairs[0], pairs[1], target) if product else Sum(pairs, target))
    tracer.cells.tie(pairs, target)
    return target[inverse].view(a.shape)


def _with_number(tracer: Tracer, call: Operation, first: object, second: object, *, product: bool) -> bool:
    tensor, number = (first, second) if isinstance(first, Tensor) else (second, first)
    if not isinstance(tensor, Tensor):
        return False
    name = call.name.strip("_")
    zero = name not in ("rdiv", "rtruediv") if product else number == 0
    if name in ("div", "truediv") and tensor is second:
        zero = False
    tracer.put(call.result, tracer.pointwise(tracer.of(tensor), keeps_zero=zero, even=True))
    return True


_PRODUCTS = ("mul", "__mul__", "__rmul__", "__imul__", "multiply", "div", "__truediv__", "__rtruediv__", "__itruediv__")
_SUMS = ("add", "__add__", "__radd__", "__iadd__", "sub", "__sub__", "__rsub__", "__isub__", "rsub")
RULES: dict[str, Rule] = {
    **{name: _unary(keeps_zero=True) for name in (*KEEPS_ZERO, *RANDOM)},
    **{name: _unary(keeps_zero=True, blocks=True) for name in BLOCKS},
    **{name: _unary(keeps_zero=False) for name in OF_ZERO_NOT},
    **dict.fromkeys((*POOLING, "interpolate"), pooling),
    **dict.fromkeys(("mean", "sum"), reduction),
    **dict.fromkeys(("softmax", "log_softmax"), softmax),
    **dict.fromkeys(_PRODUCTS, _binary(product=True)),
    **dict.fromkeys(_SUMS, _binary(product=False)),
    "hardtanh": hardtanh,
    **dict.fromkeys(("pow", "__pow__"), power),
}
