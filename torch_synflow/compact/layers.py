"""The cells of operations with weights: linear layers, convolutions, normalisation, embeddings, recurrence."""

from __future__ import annotations

import torch
from torch import Tensor

from torch_synflow.compact.held import Held
from torch_synflow.compact.nodes import Pointwise, Recurrent, Shift, Weighted
from torch_synflow.compact.tracer import Operation, Rule, Tracer


def shift(tracer: Tracer, cells: Tensor, target: Tensor, bias: Held, place: slice = slice(None)) -> None:
    """Note that a part of a bias is added."""
    if bias.steady is None:
        bias.steady = ~bias.kept | (bias.tensor.detach().cpu() == 0)
    tracer.add(Shift(cells, target, bias.steady[place], bias.kept[place] & bias.trained, bias.name))


def _biased(tracer: Tracer, cells: Tensor, bias: Tensor | None) -> Tensor:
    """The cells behind a bias that is added."""
    if bias is None:
        return cells
    target = tracer.cells.new(len(cells))
    tracer.cells.tie(cells, target)
    held = tracer.index_of(bias, 0, target)
    if held is None:
        tracer.cells.pin(target, f"a bias that is computed in {tracer.module}")
        tracer.sink(tracer.of(bias), f"a bias that is computed in {tracer.module}")
        never = torch.zeros(len(cells), dtype=torch.bool)
        tracer.add(Shift(cells, target, never, ~never, "a bias"))
    else:
        shift(tracer, cells, target, held)
    return target


def weighted(
    tracer: Tracer,
    source: Tensor,
    weight: Held,
    kept: Tensor,
    bias: Tensor | None,
    seen: Tensor | None = None,
    *,
    padded: bool = False,
) -> Tensor:
    """The cells of what a weight makes of others; ``seen`` of a weight whose second axis has the source's channels."""
    target = tracer.cells.new(kept.shape[0] * kept.shape[1])
    tracer.add(Weighted(source, target, kept, weight.name, seen is not None, padded, seen))
    return _biased(tracer, target, bias)


def _seen(source: Tensor, weight: Held, axis: int) -> Tensor | None:
    """The cells that a frozen weight reads at one place."""
    if weight.trained:
        return None
    places = source.detach().movedim(axis, -1).reshape(-1, source.shape[axis])
    return places[0].double().cpu() if len(places) else None


def linear(tracer: Tracer, call: Operation) -> bool:
    """Channels lie on the last axis."""
    source, weight, bias = call.get(0, "input"), call.get(1, "weight"), call.get(2, "bias")
    held = tracer.held.get(id(weight))
    cells = tracer.of(source)
    cells = cells.expand(*cells.shape[:-1], source.shape[-1])
    columns = tracer.uniform(cells, tuple(range(cells.dim() - 1)))
    if held is None or columns is None or weight.dim() != 2:
        return False
    inputs = columns.reshape(-1)
    tracer.index_of(weight, 1, inputs)
    outputs = weighted(tracer, inputs, held, held.kept[None], bias, _seen(source, held, -1))
    tracer.index_of(weight, 0, outputs)
    tracer.put(call.result, outputs)
    return True


def product_by_weights(tracer: Tracer, call: Operation) -> bool:
    """``x @ weight``, and ``addmm``, by a matrix whose rows are inputs."""
    bias, source, weight = (None, *call.args[:2]) if call.name != "addmm" else call.args[:3]
    held = tracer.held.get(id(weight))
    if held is None or weight.dim() != 2 or call.kwargs or id(source) in tracer.held:
        return False
    cells = tracer.of(source)
    columns = tracer.uniform(cells.expand(*cells.shape[:-1], source.shape[-1]), tuple(range(cells.dim() - 1)))
    if columns is None:
        return False
    inputs = columns.reshape(-1)
    tracer.index_of(weight, 0, inputs)
    outputs = weighted(tracer, inputs, held, held.kept.t()[None], bias)
    tracer.index_of(weight, 1, outputs)
    tracer.put(call.result, outputs)
    return True


def convolution(tracer: Tracer, call: Operation) -> bool:
    """Only whole groups can be removed, so that all stay equally large."""
    source, weight, bias = call.get(0, "input"), call.get(1, "weight"), call.get(2, "bias")
    transposed = call.name.startswith("conv_transpose")
    groups = call.get(6, "groups", 1)
    held = tracer.held.get(id(weight))
    space = weight.dim() - 2
    found = tracer.uniform(tracer.of(source), tuple(range(-space, 0)))
    if held is None or found is None or source.dim() != weight.dim() or (transposed and groups > 1):
        return False
    inputs = found.expand(1, source.shape[1], *[1] * space).reshape(-1)
    kept = held.kept.flatten(2).any(2)
    kept = kept.t() if transposed else kept
    if groups == 1:
        tracer.index_of(weight, 0 if transposed else 1, inputs)
    padding = call.get(4, "padding", 0)
    padded = transposed or any(padding if isinstance(padding, (tuple, list)) else [padding != "valid" and padding])
    outputs = weighted(tracer, inputs, held, kept.reshape(groups, -1, kept.shape[1]), bias,
                       _seen(source, held, 1) if groups == 1 and not transposed else None,
                       padded=padded)  # fmt: skip
    tracer.index_of(weight, 1 if transposed else 0, outputs)
    if groups > 1:
        first = outputs.view(groups, -1)[:, :1]
        tracer.cells.tie(outputs.view(groups, -1), first)
        tracer.cells.tie(inputs.view(groups, -1), first)
    tracer.put(call.result, outputs.view(-1, *[1] * space))
    return True


def batch_norm(tracer: Tracer, call: Operation) -> bool:
    """A channel of zeros becomes its offset if the running mean is also zero or not used."""
    source, mean, variance = call.get(0, "input"), call.get(1, "running_mean"), call.get(2, "running_var")
    weight, bias, training = call.get(3, "weight"), call.get(4, "bias"), call.get(5, "training", False)
    other = tuple(axis for axis in range(source.dim()) if axis != 1)
    found = tracer.uniform(tracer.of(source), other)
    if found is None:
        return False
    cells = found.expand(*[source.shape[1] if axis == 1 else 1 for axis in range(source.dim())]).reshape(-1)
    target = tracer.cells.new(len(cells))
    centred = torch.ones(len(cells), dtype=torch.bool)
    if mean is not None and not training:
        centred = mean.detach().cpu() == 0
    label = tracer.held[id(mean)].name if id(mean) in tracer.held else ""
    tracer.add(Pointwise(cells, target, centred, label=label))
    tracer.cells.tie(cells, target)
    for tensor in (mean, variance, weight):
        if tensor is not None and tracer.index_of(tensor, 0, target) is None:
            tracer.cells.pin(target, f"a tensor of {tracer.module} that is not its own")
            tracer.sink(tracer.of(tensor), f"a tensor of {tracer.module} that is not its own")
    tracer.put(call.result, _biased(tracer, target, bias).view(-1, *[1] * (source.dim() - 2)))
    return True


def embedding(tracer: Tracer, call: Operation) -> bool:
    """Columns of the table are channels."""
    weight = call.get(1, "weight")
    held = tracer.held.get(id(weight))
    if held is None:
        return False
    target = tracer.cells.new(weight.shape[1])
    tracer.cells.follow_input(target)
    tracer.cells.always_zero(target[~held.kept.any(0)])
    tracer.index_of(weight, 1, target)
    tracer.put(call.result, target)
    return True


def recurrence(tracer: Tracer, call: Operation) -> bool:
    """All layers and directions have the same number of hidden channels."""
    source, state, weights, biased, layers, _, _, both, *_ = call.args
    states = state if isinstance(state, (tuple, list)) else (state,)
    directions = 2 if both else 1
    each = 4 if biased else 2
    if source.dim() != 3 or len(weights) != layers * directions * each or any(
        id(weight) not in tracer.held for weight in weights
    ):  # fmt: skip
        return False  # with projections, or packed
    cells = tracer.of(source)
    found = tracer.uniform(cells.expand(*cells.shape[:2], source.shape[2]), (0, 1))
    if found is None:
        return False
    inputs, last = found.reshape(-1), []
    for layer in range(layers):
        made = []
        for direction in range(directions):
            begin = (layer * directions + direction) * each
            made.append(_direction(tracer, inputs, weights[begin : begin + each]))
        last.append(torch.stack(made))
        inputs = torch.cat(made)
    hidden = torch.cat(last)
    tracer.cells.tie(hidden, hidden[:1])
    for tensor in states:
        tracer.sink(tracer.of(tensor), f"the state that {tracer.module} begins with")
        if not bool((tracer.of(tensor) == 2).all()):
            tracer.cells.pin(hidden, f"the state that {tracer.module} begins with")
    output, *ends = call.result
    tracer.put(output, inputs[None, None])
    for end in ends:
        tracer.put(end, hidden[:, None])
    return True


def _direction(tracer: Tracer, inputs: Tensor, weights: list[Tensor]) -> Tensor:
    rows, size = weights[1].shape
    hidden = tracer.cells.new(size)
    kept, kept_hidden = (tracer.held[id(weight)].kept.view(rows // size, size, -1).any(0) for weight in weights[:2])
    tracer.add(Recurrent(inputs, hidden, kept, kept_hidden))
    for weight in weights:
        tracer.index_of(weight, 0, hidden.repeat(rows // size))
    tracer.index_of(weights[0], 1, inputs)
    tracer.index_of(weights[1], 1, hidden)
    return hidden


RULES: dict[str, Rule] = {
    "linear": linear,
    **dict.fromkeys(("matmul", "__matmul__", "mm", "addmm"), product_by_weights),
    **{f"conv{space}d": convolution for space in (1, 2, 3)},
    **{f"conv_transpose{space}d": convolution for space in (1, 2, 3)},
    "batch_norm": batch_norm,
    "embedding": embedding,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), recurrence),
}
